"""The world file survives a kill, is whole or absent, and refuses what it is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cryoctl.errors import FileProblem
from cryoctl_simulators.world.world_file import WorldFile

SPECS = {"dose": ((3, 50, 70), "<f4"), "log": ((10, 2), "<f8")}


def test_goes_on_where_it_was(tmp_path):
    path = tmp_path / "world.bin"
    first = WorldFile.create(path, {"seed": 7}, SPECS)
    first.arrays["dose"][1, 2, 3] = 4.5
    for count in range(5):
        first.record["count"] = count
        first.commit()
    again = WorldFile.open(path)
    assert again.header == {"seed": 7}
    assert again.record == {"count": 4}
    assert again.arrays["dose"][1, 2, 3] == 4.5
    assert again.arrays["dose"].sum() == 4.5
    again.record["count"] = 5
    again.commit()
    assert WorldFile.open(path).record == {"count": 5}


def test_a_torn_record_leaves_the_one_before(tmp_path):
    path = tmp_path / "world.bin"
    file = WorldFile.create(path, {}, SPECS)
    for count in range(2):
        file.record["count"] = count
        file.commit()
    content = bytearray(path.read_bytes())
    place = content.rindex(b'{"count":1}')
    content[place + 9] = ord("9")
    path.write_bytes(bytes(content))
    assert WorldFile.open(path).record == {"count": 0}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this platform")
def test_survives_sigkill(tmp_path):
    path, told = tmp_path / "world.bin", tmp_path / "told"
    script = (
        "import sys, os; from pathlib import Path\n"
        "from cryoctl_simulators.world.world_file import WorldFile\n"
        f"file = WorldFile.create(Path({str(path)!r}), {{}}, {SPECS!r})\n"
        f"told = os.open({str(told)!r}, os.O_CREAT | os.O_WRONLY)\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    file.arrays['dose'][0, 0, :] = n\n"
        "    file.record['n'] = n\n"
        "    file.commit()\n"
        "    os.pwrite(told, b'%12d' % n, 0)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ)
    try:
        for _ in range(1000):
            if told.exists() and len(told.read_bytes()) == 12 and int(told.read_bytes()) > 200:
                break
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    acknowledged = int(told.read_bytes())
    assert acknowledged > 200
    file = WorldFile.open(path)
    assert acknowledged <= file.record["n"] <= acknowledged + 1
    assert np.all(file.arrays["dose"][0, 0, :] >= acknowledged)


def test_refuses_what_is_no_world(tmp_path):
    for name, content in (("empty", b""), ("text", b"something else altogether"), ("short", b"CRYOCTL-WORLD-3\n")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FileProblem) as caught:
            WorldFile.open(path)
        assert str(path) in str(caught.value)
    with pytest.raises(FileProblem):
        WorldFile.open(tmp_path / "absent")
    with pytest.raises(FileProblem):
        WorldFile.create(tmp_path / "no" / "folder", {}, SPECS)


def test_refuses_a_world_cut_off(tmp_path):
    path = tmp_path / "world.bin"
    WorldFile.create(path, {}, SPECS)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(FileProblem):
        WorldFile.open(path)
