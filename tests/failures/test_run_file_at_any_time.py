"""The run file opens at any time: while the run goes on, and after its process died; what was told durable is there."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.events import Event
from cryoctl.launch.request import Follower
from tests.runs.small_runs import SMALL, play, run_file


class Looker(Follower):
    """Opens the run file at every event of these kinds, as another program would."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds
        self.path = Path()
        self.looks: list[tuple[str, int, int, float]] = []

    def begin(self, head: Any, outlook: Any) -> None:
        self.path = Path(str(head["run_file"]))

    def picture(self, picture: Any) -> None: ...

    def end(self, summary: Any) -> None: ...

    def event(self, event: Event) -> None:
        if event.event not in self.kinds:
            return
        with h5py.File(self.path) as file:  # plainly, without our reader
            assert file["entry/status"][()].decode() == "running"
        with open_run(self.path) as run:
            frames = len(run.image) if "image" in run else 0
            dose = float(run.dose.map.max(initial=0.0))
            exposures = len(run.exposures.time_s) if "entry/exposures" in run else 0
            self.looks.append((event.event, frames, exposures, dose))


def test_open_while_the_run_goes_on(tmp_path: Path) -> None:
    looker = Looker("state", "exposure", "frame")
    result = play(tmp_path, followers=(looker,))
    frames = [look for look in looker.looks if look[0] == "frame"]
    assert [look[1] for look in frames] == [1, 2, 3]
    doses = [look[3] for look in looker.looks]
    assert doses == sorted(doses)
    with open_run(run_file(result)) as run:
        assert run.packed
        assert doses[-1] == pytest.approx(float(run.dose.map.max()))


def acknowledged(events: Path) -> list[dict[str, Any]]:
    """Frames that the run said were durable; a torn last line was never said."""
    found: list[dict[str, Any]] = []
    for line in events.read_bytes().split(b"\n")[:-1]:
        told = json.loads(line)
        if told["event"] == "frame":
            found.append(told)
    return found


def all_is_there(out: Path, events: Path) -> tuple[int, list[str]]:
    """Checks the frames of a killed run against what was acknowledged; gives their number and the outcomes."""
    (path,) = out.glob("*.nxs")
    told = acknowledged(events)
    with h5py.File(path) as file:
        assert file["entry/status"][()].decode() == "running"
    with open_run(path) as run:
        assert not run.packed
        assert not run.is_live
        assert len(run.image) >= len(told)
        for one in told:
            frame = one["frame"]
            assert run.image.exposure[frame] == one["exposure"]
            rows, columns = run.image.shape[frame]
            scans = np.asarray(run.image.scans[frame][: run.image.scan_count[frame], :rows, :columns], dtype="<u2")
            assert hashlib.sha256(scans.tobytes()).hexdigest() == one["sha256"]
            assert run.edx.spectrum_image(frame).sum() > 0
        record = [
            float(d)
            for d, kind in zip(run.exposures.dose_e_per_a2, run.exposures.kind, strict=True)
            if kind == "record"
        ]
        assert float(np.asarray(run.dose.by_kind.record).max()) == pytest.approx(sum(record), rel=0.02)
        return len(told), list(run.exposures.outcome)


def child(out: Path, events: Path, frames: int, how: str) -> int:
    command = [sys.executable, "-m", "tests.failures.killed_child", str(out), str(events), str(frames), how]
    return subprocess.run(command, cwd=Path(__file__).parents[2], timeout=300, check=False).returncode


@pytest.mark.parametrize("frames", [1, 2])
def test_killed_when_a_frame_was_acknowledged(frames: int, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    assert child(tmp_path, events, frames, "exit") == 9
    told, _ = all_is_there(tmp_path, events)
    assert told >= frames - 1


def test_killed_with_the_beam_open_is_charged_in_full_and_above_the_truth(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    assert child(tmp_path, events, 1, "exposing") == 9
    _, outcomes = all_is_there(tmp_path, events)
    assert outcomes[-1] == "charged-in-full"
    (path,) = tmp_path.glob("*.nxs")
    # The scan generator ends the scan frame by itself; a second run in the same world begins with that dose.
    world = path.with_suffix(".parts") / "world.bin"
    second = play(tmp_path / "second", seed=22, world=world, specimen=str(path))
    with open_run(run_file(second)) as run, open_run(path) as killed:
        sigma_px = 3 * float(run.dose.position_sigma_m) / run.dose.grid.pixel_size_m
        from cryoctl.dose.ledger import dilate

        dilated = dilate(run.dose.map, 1.0, sigma_px)
        assert (dilated - np.asarray(run.truth.dose_map_e_per_a2)).min() > -1e-6
        assert float(run.dose.prior.max()) == pytest.approx(float(killed.dose.map.max()))


def test_sigkill_from_outside(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    sets = [part for text in SMALL for part in ("--set", text)]
    command = [
        sys.executable,
        "-m",
        "cryoctl.cli.main",
        "run",
        "edx-tomography",
        "--quiet",
        "--out",
        str(tmp_path),
        *sets,
    ]
    command += [
        "--set",
        "tilts={scheme: dose-symmetric, min_deg: -40, max_deg: 40, step_deg: 2}",
        "--events",
        str(events),
    ]
    running = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and running.poll() is None:
            if events.exists() and len(acknowledged(events)) >= 4:
                break
            time.sleep(0.05)
        assert running.poll() is None, "the run ended before it could be killed"
    finally:
        running.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        running.wait(timeout=60)
    told, _ = all_is_there(tmp_path, events)
    assert told >= 4
