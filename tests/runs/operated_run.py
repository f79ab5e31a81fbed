"""A whole protocol on the simulated microscope with somebody who speaks to it, nothing written: tenths of a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.engine.ending import Ending
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.runner import Runner
from cryoctl.events import Event
from cryoctl.launch.connecting import close_all, connect_all
from cryoctl.launch.counting import make_ledger
from cryoctl.launch.outfitting import build_outfit
from cryoctl.launch.prepare import furnish, prepare
from cryoctl.launch.prior import EarlierDose
from cryoctl.launch.rehearse import _FramesInMemory, _SpectrumOnly
from cryoctl.launch.request import RunRequest

EVERY_STATE: Mapping[str, tuple[str, ...]] = {
    "edx-tomography": (
        "tilts={scheme: list, list_deg: [0, 10]}",
        "image.shape=[24, 32]",
        "edx={elements: [Si], scans: 2, dense: false}",
        "dose.per_tilt_e_per_a2=200",
        "eucentric={enabled: true, rounds: 1}",
        "focus={every: 1, pictures: 4, shape: [32, 48]}",
        "shower={enabled: true, dose_e_per_a2: 5}",
        "current.measure_interval_s=1e-3",
        "track.shape=[48, 64]",
        "search.shape=[64, 96]",
        "live.enabled=false",
    ),
    "biased-series": (
        "bias.waveform={scheme: steps, levels_v: [0.5, 2.0], dwell_s: 10}",
        "frame_interval_s=5",
        "pictures={shape: [16, 24], pixel_size_m: 4e-8, dose_e_per_a2: 1}",
    ),
    "calibrate": ("repeats=3", "pictures={shape: [96, 128], pixel_size_m: 40 nm, dose_e_per_a2: 0.5}"),
}
"""By protocol: a recipe that goes through all its states."""


@dataclass
class Operated:
    """Plays a protocol; `at_state` is called on entering each state, `on_status` with each status.

    Afterwards `ending`, the journal's `records`, and what the world knows: `beam_opened_s`, `truth`.
    """

    protocol: str
    at_state: Callable[[Operated, str, int], None] = lambda run, state, visit: None
    on_status: Callable[[Operated, str], None] = lambda run, status: None
    records: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def append(self, kind: str, fields: Mapping[str, Any], *, t: float, sync: bool = False) -> Any:
        """As a journal."""
        self.records.append({"k": kind, "t": t, **fields})

    def event(self, event: Event) -> None:
        """As a sink."""
        if event.event == "state":
            self.at_state(self, event.name, int(event.data["visit"]))
        elif event.event == "status":
            self.on_status(self, event.name)

    def picture(self, picture: Any) -> None: ...

    def say(self, command: str, after_s: float = 0.0) -> None:
        """Now, or so much later."""
        if after_s:
            asyncio.get_running_loop().call_later(after_s, self.operator.take, command, "test")
        else:
            self.operator.take(command, "test")

    def say_from_outside(self, command: str) -> None:
        """As from another thread: also heard while virtual time stands still."""
        self.operator.ask(command, "test")

    @property
    def blanked(self) -> bool:
        return bool(self.world.column.record["blanked"])

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["k"] == kind]

    def play(self) -> Ending:
        prepared = prepare(RunRequest(recipe=self.protocol, seed=1, overrides=EVERY_STATE[self.protocol]))
        furnished = furnish(prepared, None)
        self.world: Any = furnished.devices.truth
        self.operator = OperatorDesk()

        async def main() -> Ending:
            await connect_all(furnished.devices)
            ledger = make_ledger(furnished.protocol, EarlierDose(names=(), maps=(), position_sigma_m=0.0))
            recorder = Recorder(self, [self], now_s())
            shelf = FrameShelf(_FramesInMemory(), _SpectrumOnly(1024), recorder)
            outfit = build_outfit(furnished, ledger, recorder, shelf, furnished.facts.optics, self.operator)
            try:
                return await Runner(furnished.protocol, outfit).run()
            finally:
                await close_all(furnished.devices)

        return run_virtual(main())
