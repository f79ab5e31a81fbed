"""`replay`: a protocol on recorded data, a run of cryoctl or another layout with a reader."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from cryoctl.errors import FileProblem, RecipeError
from cryoctl.interfaces.recording import Recording, RecordingLayout
from cryoctl.launch.paths import check_folder
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.replay_run import undertake_run
from cryoctl.launch.replay_series import undertake_series
from cryoctl.launch.request import Follower, OnControl, RunRequest, RunResult
from cryoctl.launch.run import carry_through
from cryoctl.recipe.wording import dotted
from cryoctl.registry import find, names
from cryoctl.runfile.h5 import open_h5


def replay(
    request: RunRequest, data: Path, followers: Sequence[Follower] = (), on_control: OnControl | None = None
) -> RunResult:
    """Play the recipe's protocol on `data`; the result is a run file of its own.

    A run of cryoctl answers with what its devices gave: frames, decisions and results equal the original's. Other data
    decide tilts, order, shape, pixel size and scans; what they do not know (current, dwell) is NaN and gates nothing.

    Raises:
        BadInput: found before anything started; nothing was written.
    """
    began_s = time.perf_counter()
    _check_overrides(request)
    recording = open_recording(data)
    try:
        check_folder(request.out)
        undertake = undertake_run if recording.series is None else undertake_series
        undertaking = undertake(request, data, recording)
        return carry_through(undertaking, followers, on_control, began_s)
    finally:
        recording.close()


def _check_overrides(request: RunRequest) -> None:
    """Raises `RecipeError` for a `--set` of what the data decide: the devices and what was simulated."""
    raw, _ = read_recipe(request.recipe, request.overrides)
    of_devices = [f"instrument.{dotted(one.path)}" for one in raw.instrument_overrides]
    of_devices += [dotted(path) for path in raw.set_paths if path[0] in ("instrument", "simulation")]
    if of_devices:
        raise RecipeError(f"--set {of_devices[0]}: in a replay the data answer for the devices: leave it out")


def open_recording(data: Path) -> Recording:
    """
    Raises:
        FileProblem: absent, a folder, damaged, or of no layout that an installed reader knows.
    """
    if not data.exists() and not data.with_suffix(".parts").is_dir():
        raise FileProblem(f"{data} does not exist: name a run file or recorded data")
    if data.is_dir() and data.suffix != ".parts":
        raise FileProblem(f"{data} is a folder: name a run file or recorded data")
    titles: list[str] = []
    for name in names("cryoctl.recordings"):
        layout = cast(RecordingLayout, find("cryoctl.recordings", name))
        titles.append(layout.title)
        if layout.recognises(data):
            return layout.open(data)
    open_h5(data).close()  # a truncated or foreign file is told as such
    raise FileProblem(f"{data}: can't be replayed, its layout is none of those known: {', '.join(titles)}")
