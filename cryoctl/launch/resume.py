"""`resume`: goes on with a run that was killed, aborted or stopped by a fault, in its own file and its own world."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cryoctl.clock.wall import utc_now
from cryoctl.engine.ending import EndReason
from cryoctl.engine.replay import Standing, replay
from cryoctl.errors import BadInput, FileProblem, RunFileError
from cryoctl.instrument import load_instrument
from cryoctl.launch.head import software
from cryoctl.launch.paths import RunPaths
from cryoctl.launch.preflight import look_ahead
from cryoctl.launch.prepare import Prepared, check_fault_states, furnish, read_faults
from cryoctl.launch.prepared_again import prepared_of
from cryoctl.launch.prior import EarlierDose
from cryoctl.launch.request import Follower, OnControl, RunRequest, RunResult
from cryoctl.launch.run import carry_through
from cryoctl.launch.undertaking import Past, Undertaking
from cryoctl.recipe.source import read_source
from cryoctl.recipe.strict_yaml import decode
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import load_journal
from cryoctl.runfile.lock import owner_pid
from cryoctl.runfile.parts import PartsReader

SIMULATED_GAP_S = 60.0
"""In virtual time: how long it takes until somebody has seen that the run stopped, and comes."""
_NO_EARLIER = EarlierDose(names=(), maps=(), position_sigma_m=0.0)


def resume(
    run: Path, request: RunRequest, followers: Sequence[Follower] = (), on_control: OnControl | None = None
) -> RunResult:
    """Check, go on, pack.

    Args:
        run: the run file, or its `.parts` folder.
        request: its `recipe`, `out`, `seed` and `overrides` are those of the run and not looked at; `instrument` and
            `world` are compared with the run's where they are given.

    Raises:
        BadInput: found before anything was touched; the run is as it was.
        DeviceError: a device did not answer at the start; the run is as it was.
    """
    began_s = time.perf_counter()
    return carry_through(undertake(run, request), followers, on_control, began_s)


def undertake(run: Path, request: RunRequest) -> Undertaking:
    """
    Raises:
        BadInput: nothing was written.
    """
    paths = RunPaths(run.with_suffix(".nxs"))
    fold = _interrupted(paths)
    head = fold.head
    prepared = _prepare_again(paths.run_file.name, head, request)
    world = prepared.request.world or paths.parts.world
    past = _past(paths, fold, virtual=prepared.virtual)
    shared = {"resumed_s": past.time_s}
    dry = furnish(prepared, world, shared=shared)
    _check_goes_on(paths, fold, replay(dry.protocol, fold))
    if head.get("simulated") and not world.exists():
        raise FileProblem(f"{paths.run_file.name}: its world {world} is gone; give it with --world, or begin a new run")
    outlook = look_ahead(prepared, dry, _NO_EARLIER, paths.run_file.parent)
    return Undertaking(
        prepared=prepared,
        furnisher=lambda place: furnish(prepared, place, shared=shared),
        dry=dry,
        earlier=_NO_EARLIER,
        outlook=dataclasses.replace(outlook, warnings=(*outlook.warnings, *_other_software(head))),
        virtual=prepared.virtual,
        past=past,
    )


def _interrupted(paths: RunPaths) -> RunFold:
    """Raises `BadInput` for a run that can't be gone on with."""
    name, parts = paths.run_file.name, paths.parts
    if not parts.journal.exists():
        there = "there is no such run" if not paths.run_file.exists() else f"{parts.folder.name} is not beside it"
        raise FileProblem(f"{paths.run_file}: {there}: name a run whose .parts folder is whole")
    pid = owner_pid(parts.lock)
    if pid is not None:
        raise FileProblem(f"{name}: process {pid} has this run; wait for its end, or use `cryoctl tell` to speak to it")
    try:
        fold = RunFold.of(load_journal(parts.journal).records)
    except RunFileError as error:
        raise FileProblem(f"{name}: {error.message}") from error
    if not fold.head:
        raise FileProblem(f"{name}: it was killed before it began and exposed nothing: begin anew with `cryoctl run`")
    if fold.head.get("replay_of"):
        raise BadInput(f"{name}: is a replay of {fold.head['replay_of']}; nothing is exposed in it: replay again")
    return fold


def _check_goes_on(paths: RunPaths, fold: RunFold, standing: Standing) -> None:
    """Raises `BadInput` where the protocol had come to its end and its file is whole."""
    over = standing.machine.ended or standing.ending is not None
    if over and fold.end is not None and fold.end.get("end_reason") != EndReason.UNCONFIRMED:
        from cryoctl.runfile.reader import open_run  # late: HDF5 is slow to import

        with open_run(paths.run_file) as run:
            if run.packed:
                raise BadInput(
                    f"{paths.run_file.name}: this run has ended ({fold.end.get('end_reason')}), nothing is left to go "
                    "on with; begin another with `cryoctl run --specimen RUN`"
                )


def _past(paths: RunPaths, fold: RunFold, *, virtual: bool) -> Past:
    if virtual:
        gap_s = SIMULATED_GAP_S
    else:
        began = datetime.fromisoformat(str(fold.sessions[-1]["utc"])) if fold.sessions else utc_now()
        watched_s = fold.time_s - float(fold.sessions[-1]["start_s"]) if fold.sessions else 0.0
        gap_s = max(0.0, (utc_now() - began).total_seconds() - watched_s)  # a clock may have been set back
    ended = fold.end
    reason = "after its process died" if ended is None else f"after it ended ({ended.get('end_reason')})"
    reader = PartsReader(paths.parts, fold)
    try:
        prior = reader.prior_dose()
    finally:
        reader.close()
    return Past(paths=paths, fold=fold, time_s=fold.time_s + gap_s, gap_s=gap_s, reason=reason, prior=prior)


def _prepare_again(name: str, head: Mapping[str, Any], request: RunRequest) -> Prepared:
    """Recipe and instrument as they were when the run began.

    Raises:
        BadInput: a file that the run was made from has been edited since, or another instrument was named.
    """
    _check_unedited(name, Path(str(head.get("recipe_path", ""))), str(head["recipe_source"]))
    again = prepared_of(head)
    instrument = again.instrument
    if request.instrument is not None:
        given = load_instrument(request.instrument)
        if given.yaml() != instrument.yaml():
            raise BadInput(
                f"--instrument {request.instrument}: {given.file.name} differs from the instrument of the run, "
                f"{instrument.file.name}: resume on that one (without --instrument)"
            )
    faults = read_faults(request.faults)
    check_fault_states(faults, again.protocol_class)
    world = request.world or (Path(str(head["world"])) if head.get("world") else None)
    asked = dataclasses.replace(request, recipe=again.raw.protocol, out=Path(), seed=again.seed, world=world)
    return dataclasses.replace(again, request=asked, faults=faults)


def _check_unedited(run: str, recipe: Path, text: str) -> None:
    """Raises `BadInput` where the recipe's file is there and says something else than it did."""
    if not recipe.is_file():
        return  # it is gone, or a bundled one: the run holds its own copy
    now, before = decode(read_source(recipe, "cryoctl.recipes")[0], recipe.name).splitlines(), text.splitlines()
    if now != before:
        line = next((n for n, lines in enumerate(zip_longest(now, before), 1) if lines[0] != lines[1]), 1)
        raise BadInput(
            f"recipe {recipe.name}: line {line} was edited since {run} began; a run goes on with the recipe that it "
            "was begun with: put the file back or move it away, or begin a new run"
        )


def _other_software(head: Mapping[str, Any]) -> list[str]:
    before, now = head.get("software", {}), software()
    if before.get("cryoctl") == now.get("cryoctl"):
        return []
    return [f"cryoctl: the run was begun with version {before.get('cryoctl')}, it goes on with {now.get('cryoctl')}"]
