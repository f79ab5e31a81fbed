"""`cryoctl.run`, `cryoctl.resume` and `cryoctl.rehearse`: the commands from Python, in a notebook as well."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryoctl.launch.request import RunRequest, RunResult

Place = str | os.PathLike[str]


def run(
    recipe: Place,
    *,
    out: Place = ".",
    instrument: Place | None = None,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    until: str = "",
    speed: float | None = None,
    specimen: str = "",
    world: Place | None = None,
    events: Place | None = None,
    faults: Place | None = None,
) -> RunResult:
    """Run a recipe to its end, as `cryoctl run` does; options by their names there.

    Args:
        recipe: YAML path, bundled name or Python file.
        set: values by dotted path, like ``{"dose.limit_e_per_a2": 2e4, "image.pixel_size_m": "20 nm"}``.

    Returns:
        `summary` (the JSON of `--json`), `exit_code` and `run_file`.

    Raises:
        BadInput: found before anything started; nothing was written.
        DeviceError: a device did not answer at the start; nothing was written.
    """
    from cryoctl.launch.run import run as carry_out

    request = RunRequest(
        recipe=os.fspath(recipe),
        instrument=_path(instrument),
        out=Path(out),
        seed=seed,
        overrides=overrides_of(set),
        until=until,
        speed=speed,
        specimen=specimen,
        world=_path(world),
        events=_path(events),
        faults=_path(faults),
    )
    return carry_out(request)


def resume(
    run: Place,
    *,
    instrument: Place | None = None,
    until: str = "",
    speed: float | None = None,
    world: Place | None = None,
    events: Place | None = None,
    faults: Place | None = None,
) -> RunResult:
    """Go on with a run that was killed, aborted or stopped by a fault, as `cryoctl resume` does.

    Raises:
        BadInput: it can't be gone on with; nothing was touched.
        DeviceError: a device did not answer at the start.
    """
    from cryoctl.launch.resume import resume as go_on

    request = RunRequest(
        recipe="",
        instrument=_path(instrument),
        until=until,
        speed=speed,
        world=_path(world),
        events=_path(events),
        faults=_path(faults),
    )
    return go_on(Path(run), request)


def rehearse(
    recipe: Place,
    *,
    out: Place = ".",
    instrument: Place | None = None,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    until: str = "",
    specimen: str = "",
    faults: Place | None = None,
) -> RunResult:
    """Play a recipe on simulators in virtual time, as `cryoctl rehearse` does; writes nothing, `run_file` is None.

    `out` is where the run will go: its disk is looked at, and earlier runs for `specimen` are sought there.
    """
    from cryoctl.launch.rehearse import rehearse as play

    request = RunRequest(
        recipe=os.fspath(recipe),
        instrument=_path(instrument),
        out=Path(out),
        seed=seed,
        overrides=overrides_of(set),
        until=until,
        specimen=specimen,
        faults=_path(faults),
    )
    return play(request)


def _path(place: Place | None) -> Path | None:
    return None if place is None else Path(place)


def overrides_of(values: Mapping[str, Any] | None) -> tuple[str, ...]:
    """As `--set` takes them: a text as it would be typed there, anything else as YAML in one line."""
    import yaml

    def written(value: Any) -> str:
        if isinstance(value, str):
            return value
        plain = list(value) if isinstance(value, tuple) else value
        return yaml.safe_dump(plain, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()

    return tuple(f"{path}={written(value)}" for path, value in (values or {}).items())
