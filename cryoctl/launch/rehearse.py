"""`rehearse`: the same protocol and runner on simulators built from recipe and instrument file, nothing written."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.clock import now_s
from cryoctl.clock.wall import local_now
from cryoctl.engine.ending import Ending
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.runner import Runner
from cryoctl.events import Event
from cryoctl.launch.against_devices import record_voltage_v
from cryoctl.launch.connecting import connect_all
from cryoctl.launch.counting import make_ledger
from cryoctl.launch.counts import counts_of_spectrum
from cryoctl.launch.outfitting import build_outfit
from cryoctl.launch.own_loop import in_own_loop
from cryoctl.launch.preflight import disk_free_bytes, look_ahead, planned_frames, run_file_bytes
from cryoctl.launch.prepare import Furnished, Prepared, furnish, prepare
from cryoctl.launch.prior import EarlierDose, earlier_dose
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.runfile.event_store import EventPlace, ScanEvents
from cryoctl.runfile.frame_store import FramePlace
from cryoctl.streaming.sink import Picture

Spectrum = npt.NDArray[np.int64]


class _NoJournal:
    """Takes every record and keeps none."""

    def append(self, kind: str, fields: Mapping[str, Any], *, t: float, sync: bool = False) -> Mapping[str, Any]:
        del kind, t, sync
        return fields


class _FramesInMemory:
    """Scan frames by slot, for the analyses of the protocol; pictures of the record stream are not kept."""

    def __init__(self) -> None:
        self.bytes = 0
        self._kept: dict[tuple[str, int], npt.NDArray[np.uint16]] = {}
        self._count = 0

    def append(self, stream: str, frames: npt.NDArray[np.uint16]) -> FramePlace:
        self.bytes += frames.nbytes
        self._count += 1
        if stream != "image":
            self._kept[(stream, self._count)] = frames
        return FramePlace(segment=stream, slot=self._count, sha256="")

    def read(self, segment: str, slot: int) -> npt.NDArray[np.uint16]:
        return self._kept[(segment, slot)]


class _SpectrumOnly:
    """Counts EDX events into one summed spectrum."""

    def __init__(self, n_channels: int) -> None:
        self.spectrum: Spectrum = np.zeros(n_channels, dtype=np.int64)

    def append(self, scans: Sequence[ScanEvents]) -> EventPlace:
        for _, channel in scans:
            self.spectrum += np.bincount(channel, minlength=len(self.spectrum))
        return EventPlace(offset=0, bytes=0, sha256="")


class _Tally:
    """A sink that counts what the summary needs."""

    def __init__(self) -> None:
        self.frames = 0
        self.skipped = 0
        self.targets: list[dict[str, str]] = []

    def event(self, event: Event) -> None:
        if event.event == "target":
            self.targets.append(
                {"name": event.name, "outcome": str(event.data["outcome"]), "reason": str(event.data["reason"])}
            )

    def picture(self, picture: Picture) -> None:
        self.frames += picture.stream == "image"


def rehearse(request: RunRequest) -> RunResult:
    """Play the recipe on simulators, or a real instrument's drivers on emulators, without hidden draws.

    Raises:
        BadInput: as `run` would; nothing is written in any case.
    """
    began_s = time.perf_counter()
    prepared = prepare(request, rehearsed=True)
    earlier = earlier_dose(request.specimen, request.out)
    furnished = furnish(prepared, None, hidden_draws=False)
    outlook = look_ahead(prepared, furnished, earlier, request.out)
    summary = in_own_loop(lambda: _play(prepared, furnished, earlier), virtual=True, speed=None)
    finish = local_now() + timedelta(seconds=summary["duration_s"])
    summary |= {
        "wall_s": time.perf_counter() - began_s,
        "finish_time": finish.isoformat(timespec="minutes"),
        "disk_free_bytes": disk_free_bytes(request.out),
        "nitrogen_left_s": outlook.nitrogen_left_s - summary["duration_s"],
        "warnings": list(outlook.warnings),
    }
    return RunResult(summary=summary, exit_code=summary["exit_code"], run_file=None)


async def _play(prepared: Prepared, furnished: Furnished, earlier: EarlierDose) -> dict[str, Any]:
    furnished.identities = await connect_all(furnished.devices)
    ledger = make_ledger(furnished.protocol, earlier)
    journal, frames, tally = _NoJournal(), _FramesInMemory(), _Tally()
    edx = furnished.devices.edx
    spectrum = _SpectrumOnly(edx.capabilities.n_channels if edx is not None else 1)
    recorder = Recorder(journal, [tally], now_s())
    shelf = FrameShelf(frames, spectrum, recorder)
    outfit = build_outfit(furnished, ledger, recorder, shelf, furnished.facts.optics)
    runner = Runner(furnished.protocol, outfit, prepared.request.until)
    ending: Ending = await runner.run()
    described = furnished.protocol.describe()
    counts: dict[str, float] = {}
    if edx is not None and described.get("edx") and spectrum.spectrum.any():
        detector = edx.capabilities
        counts = counts_of_spectrum(
            spectrum.spectrum,
            described["edx"]["elements"],
            offset_ev=detector.energy_offset_ev,
            scale_ev=detector.energy_scale_ev,
            voltage_v=record_voltage_v(prepared.parameters, furnished.facts),
        )
    limit = ledger.limit_e_per_a2
    size = run_file_bytes(described, frames.bytes, float(spectrum.spectrum.sum()), tally.frames)
    return {
        "status": ending.status.value,
        "exit_code": ending.exit_code,
        "end_reason": ending.reason.value,
        "message": ending.message,
        "seed": prepared.seed,
        "duration_s": recorder.time_s,
        "frames": tally.frames,
        "frames_skipped": max(0, planned_frames(described) - tally.frames),
        "bytes": size,
        "dose": {
            "limit": limit if math.isfinite(limit) else None,
            "peak": ledger.peak_e_per_a2,
            "planned": described.get("planned_peak_e_per_a2"),
            "by_kind": {kind: float(dose.max()) for kind, dose in sorted(ledger.by_kind.items())},
        },
        "counts": counts,
        "targets": tally.targets,
        "interlocks": runner.interlocks_met,
        "results": {},
        "predicted": {
            "duration_s": recorder.time_s,
            "peak": ledger.peak_e_per_a2,
            "counts": counts,
            "bytes": size,
        },
        "journal_head": "",
    }
