"""An instrument file whose devices are real drivers on emulated instruments."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cryoctl.errors import InstrumentError
from cryoctl.instrument import load_instrument, parse_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl.launch.connecting import close_all, connect_all
from cryoctl.launch.device_building import build_devices

_HOLDER = """\
  holder:
    kind: holder
    driver: lake-shore-33x
    emulator: {model: lake-shore-335, settings: {wire: tcp}}
"""


def with_holder(text: str = _HOLDER) -> str:
    whole = load_instrument("simulated").text
    begin = whole.index("  holder:\n")
    end = whole.index("\noptics:")
    return whole[:begin] + text + whole[end:]


def test_the_driver_finds_its_emulator_and_gives_its_port_back() -> None:
    async def play() -> str:
        devices = build_devices(parse_instrument(with_holder()), DeviceContext(seed=1), (), "test")
        for _ in range(2):
            identities = await connect_all(devices)
        await close_all(devices)
        await close_all(devices)
        return identities["holder"].model

    assert asyncio.run(play()) == "335"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("lake-shore-335", "lakeshore-335"), "lake-shore-335"),
        (("{wire: tcp}", "{wire: usb}"), "wire"),
        (("{wire: tcp}", "{wires: tcp}"), "wire"),
        (("    emulator:", "    settings: {port: 'udp://1.2.3.4:5'}\n    emulator:"), "socket://"),
        (("    emulator:", "    settings: {port: 'socket://cryo:99999'}\n    emulator:"), "65535"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(change: tuple[str, str], said: str) -> None:
    with pytest.raises(InstrumentError) as caught:
        parse_instrument(with_holder(_HOLDER.replace(*change)))
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_a_port_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    text = _HOLDER.replace("    emulator: {model: lake-shore-335, settings: {wire: tcp}}\n", "")
    text += f"    settings: {{port: {tmp_path}/ttyUSB9}}\n"

    async def play() -> None:
        devices = build_devices(parse_instrument(with_holder(text)), DeviceContext(seed=1), (), "test")
        await connect_all(devices)

    with pytest.raises(Exception, match="there is no port") as caught:
        asyncio.run(play())
    assert len(str(caught.value)) <= 300
