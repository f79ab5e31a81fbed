"""Replay of a run of cryoctl: its own recipe and facts, its devices' answers, its operator's commands."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from cryoctl.errors import FileProblem, RecipeError
from cryoctl.instrument import parse_instrument
from cryoctl.interfaces.recording import Recording
from cryoctl.launch.against_devices import check_wanted_elements
from cryoctl.launch.preflight import look_ahead
from cryoctl.launch.prepare import Furnished, Prepared, recipe_name
from cryoctl.launch.prior import EarlierDose
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.replay_devices import replay_devices
from cryoctl.launch.request import RunRequest
from cryoctl.launch.undertaking import RecordedCommand, Undertaking
from cryoctl.protocol import InstrumentFacts
from cryoctl.recipe.loading import RawRecipe, parse_recipe
from cryoctl.recipe.validation import validate
from cryoctl.runfile.reader import Run, open_run

_UNTIL = re.compile(r"^stopped on entering (\w+), as asked by --until$")
_MOST_NAMES = 150


def undertake_run(request: RunRequest, data: Path, recording: Recording) -> Undertaking:
    """Check a recipe against the run that is replayed. What is played is the run's own recipe with the `--set` values
    of the request; other fields in which the given recipe differs are ignored with one warning.

    Raises:
        BadInput: nothing was written.
    """
    with open_run(data) as run:
        if run.is_live:
            raise FileProblem(f"{run.path.name}: this run goes on; wait for its end, then replay it")
        given, protocol_class = read_recipe(request.recipe, request.overrides)
        protocol = str(run.entry.protocol)
        if given.protocol != protocol:
            raise RecipeError(
                f"protocol: the recipe is one of {given.protocol}, {run.path.name} was recorded by {protocol}; give a "
                "recipe of that protocol"
            )
        own = parse_recipe(str(run.entry.recipe), run.path.name, request.overrides)
        parameters = validate(protocol_class.Parameters, own)
        notes = _notes(given, validate(protocol_class.Parameters, given), parameters)
        until = _UNTIL.match(str(run.entry.message))
        prepared = Prepared(
            request=request if request.until or until is None else dataclasses.replace(request, until=until[1]),
            name=recipe_name(request.recipe),
            seed=int(run.entry.seed) if request.seed is None else request.seed,
            raw=dataclasses.replace(own, text=str(run.entry.recipe_source)),
            protocol_class=protocol_class,
            parameters=parameters,
            instrument=parse_instrument(str(run.entry.instrument), run.path.name, check_drivers=False),
            instrument_source="",
            faults=(),
        )
        facts = TypeAdapter(InstrumentFacts).validate_python(json.loads(str(run.entry.facts)))
        earlier = _earlier(run)
        commands = _commands(run)
        known = bool(run.dose.known)
        axis_deg = float(run.image.tilt_axis_deg) if "image" in run else 0.0
        name = run.path.name

    def furnisher(world: Path | None) -> Furnished:
        del world
        devices, context = replay_devices(recording, prepared.seed, dose_known=known)
        check_wanted_elements(parameters, facts)
        warnings = protocol_class.check(parameters, facts)
        return Furnished(
            devices=devices,
            context=context,
            facts=facts,
            protocol=protocol_class(parameters, facts),
            warnings=(*warnings, *notes),
            tilt_axis_deg=axis_deg,
            replay_of=name,
        )

    dry = furnisher(None)
    return Undertaking(
        prepared=prepared,
        furnisher=furnisher,
        dry=dry,
        earlier=earlier,
        outlook=look_ahead(prepared, dry, earlier, request.out),
        virtual=True,
        commands=commands,
    )


def _notes(given: RawRecipe, wanted: Any, played: Any) -> tuple[str, ...]:
    """One sentence on the fields that the given recipe has otherwise than the run; empty where they agree."""
    differing = _differing(wanted.model_dump(mode="json"), played.model_dump(mode="json"), given.parameters)
    if not differing:
        return ()
    named = ", ".join(differing)
    if len(named) > _MOST_NAMES:
        kept = named[:_MOST_NAMES].rsplit(", ", 1)[0].split(", ")
        named = f"{', '.join(kept)} and {len(differing) - len(kept)} more"
    return (
        f"recipe: {named} ignored, the run was made with other values and is replayed with those; --set changes them",
    )


def _differing(wanted: Any, played: Any, given: Any, prefix: str = "") -> list[str]:
    """Dotted names of the fields that `given` names and that have another value in what is played."""
    found: list[str] = []
    for key in given:
        place = f"{prefix}{key}"
        one = wanted.get(key) if isinstance(wanted, Mapping) else None
        other = played.get(key) if isinstance(played, Mapping) else None
        if isinstance(given[key], Mapping) and isinstance(one, Mapping):
            found += _differing(one, other, given[key], f"{place}.")
        elif one != other:
            found.append(place)
    return found


def _earlier(run: Run) -> EarlierDose:
    """What the original began with."""
    prior = np.asarray(run.dose.prior, dtype=np.float64)
    names = str(run.dose.prior_runs)
    if not names and not prior.any():
        return EarlierDose(names=(), maps=(), position_sigma_m=0.0)
    return EarlierDose(names=(names,), maps=((run.dose.grid, prior),), position_sigma_m=float(run.dose.prior_sigma_m))


def _commands(run: Run) -> tuple[RecordedCommand, ...]:
    """Abort at its time; skip and stop-after between the checkpoints where they acted; virtual time knows no pause."""
    found: list[RecordedCommand] = []
    asked = [
        (float(time_s), str(name))
        for time_s, event, name in zip(run.events.time_s, run.events.event, run.events.name, strict=True)
        if event == "operator"
    ]
    found += [RecordedCommand(time_s=time_s, command=name) for time_s, name in asked if name == "abort"]
    before_s = 0.0
    steps = run.steps
    lines = np.asarray(steps.records, dtype=np.uint8).tobytes().decode().splitlines()
    for began_s, done_s, kind, line in zip(steps.time_s, steps.done_s, steps.step, lines, strict=True):
        if kind != "Checkpoint":
            continue
        command = str((json.loads(line)["result"] or {}).get("command", ""))
        if command:
            inside = [time_s for time_s, name in asked if name == command and before_s < time_s < began_s]
            time_s = inside[-1] if inside else (before_s + float(began_s)) / 2
            found.append(RecordedCommand(time_s=time_s, command=command))
        before_s = float(done_s)
    return tuple(found)
