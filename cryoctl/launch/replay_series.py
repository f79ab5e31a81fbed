"""Replay of a recorded series that is no run of cryoctl: the data decide how it was recorded, the recipe what is
looked for; at the end the aligned volumes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from cryoctl.engine.finish import Finished
from cryoctl.errors import CryoctlError
from cryoctl.instrument import load_instrument
from cryoctl.interfaces.recording import RecordedSeries, Recording
from cryoctl.launch.against_devices import check_wanted_elements
from cryoctl.launch.facts import gather_facts
from cryoctl.launch.preflight import look_ahead
from cryoctl.launch.prepare import Furnished, Prepared, recipe_name
from cryoctl.launch.prior import EarlierDose
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.replay_devices import replay_devices
from cryoctl.launch.request import RunRequest
from cryoctl.launch.undertaking import Undertaking
from cryoctl.protocol import InstrumentFacts
from cryoctl.recipe.validation import validate
from cryoctl.reconstruction.alignment import Alignment
from cryoctl.runfile.reader import open_run
from cryoctl.runfile.writer import add_reconstruction

DOSE_UNKNOWN = "dose unknown: the data hold no beam current or dwell time; nothing was gated"
_INSTRUMENT = "recorded"
_MOST_NAMES = 150


def undertake_series(request: RunRequest, data: Path, recording: Recording) -> Undertaking:
    """Check a recipe against the data.

    Raises:
        BadInput: nothing was written.
    """
    series = recording.series
    assert series is not None
    raw, protocol_class = read_recipe(request.recipe, request.overrides)
    validate(protocol_class.Parameters, raw)
    decided = protocol_class.for_recording(raw.parameters, series)
    ignored = changed(raw.parameters, decided)
    raw = dataclasses.replace(raw, parameters=decided)
    prepared = Prepared(
        request=request,
        name=recipe_name(request.recipe),
        seed=request.seed or 0,
        raw=raw,
        protocol_class=protocol_class,
        parameters=validate(protocol_class.Parameters, raw),
        instrument=load_instrument(_INSTRUMENT),
        instrument_source="",
        faults=(),
    )
    notes = tuple([_ignored_warning(ignored)] if ignored else []) + (() if series.dose_known else (DOSE_UNKNOWN,))

    def furnisher(world: Path | None) -> Furnished:
        del world
        return _furnish(prepared, data, recording, series, notes)

    dry = furnisher(None)
    nothing_earlier = EarlierDose(names=(), maps=(), position_sigma_m=0.0)
    return Undertaking(
        prepared=prepared,
        furnisher=furnisher,
        dry=dry,
        earlier=nothing_earlier,
        outlook=look_ahead(prepared, dry, nothing_earlier, request.out),
        virtual=True,
        with_live=False,
        after=lambda run_file, finished: _volumes(prepared, run_file, finished),
    )


def _furnish(
    prepared: Prepared, data: Path, recording: Recording, series: RecordedSeries, notes: tuple[str, ...]
) -> Furnished:
    devices, context = replay_devices(recording, prepared.seed, dose_known=series.dose_known)
    facts = _facts(gather_facts(prepared.instrument, devices), series)
    check_wanted_elements(prepared.parameters, facts)
    warnings = prepared.protocol_class.check(prepared.parameters, facts)
    return Furnished(
        devices=devices,
        context=context,
        facts=facts,
        protocol=prepared.protocol_class(prepared.parameters, facts),
        warnings=(*warnings, *notes),
        tilt_axis_deg=math.nan,
        replay_of=data.name,
    )


def _facts(facts: InstrumentFacts, series: RecordedSeries) -> InstrumentFacts:
    """With the voltage that the data say, and a beam current that is not known."""
    known = {"voltage_v": series.voltage_v} if math.isfinite(series.voltage_v) else {}
    unknown = {} if series.dose_known else {"beam_current_a": math.nan}
    optics = {name: dataclasses.replace(one, **known, **unknown) for name, one in facts.optics.items()}
    return dataclasses.replace(facts, optics=optics)


def changed(given: Mapping[str, Any], decided: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the fields that were given and mean something else, or nothing, after the data decided."""
    found: list[str] = []
    for key, value in given.items():
        place = f"{prefix}{key}"
        if key not in decided:
            found.append(place)
        elif prefix == "" and key in ("tilts", "targets", "specimen"):
            found += [place] if value != decided[key] else []
        elif isinstance(value, Mapping) and isinstance(decided[key], Mapping):
            found += changed(cast("Mapping[str, Any]", value), decided[key], f"{place}.")
        elif value != decided[key]:
            found.append(place)
    return found


def _ignored_warning(ignored: list[str]) -> str:
    named = ", ".join(ignored)
    if len(named) > _MOST_NAMES:
        kept = named[:_MOST_NAMES].rsplit(", ", 1)[0].split(", ")
        named = f"{', '.join(kept)} and {len(ignored) - len(kept)} more"
    return f"recipe: {named} ignored, the data decide how they were recorded; nothing is searched, tracked or focused"


def _volumes(prepared: Prepared, run_file: Path, finished: Finished) -> None:
    """Aligned volumes of the recipe's elements, as `reconstruct` makes them."""
    live = getattr(prepared.parameters, "live", None)
    if live is None or not live.enabled:
        return
    from cryoctl.launch.reconstruct import Wanted, reconstruct_recording, tree_of
    from cryoctl.launch.tilt_recording import elements_of, read_recording

    try:
        with open_run(run_file) as run:
            recording = read_recording(run)
            wanted = Wanted(elements=elements_of(run), seed=prepared.seed)
            known = run.reconstruction.alignment if "reconstruction/alignment" in run else None
            alignment = (
                Alignment(np.asarray(known.shift_px), float(known.tilt_axis_deg), float(known.residual_px))
                if known is not None
                else None
            )
        done = reconstruct_recording(recording, wanted, alignment=alignment)
        add_reconstruction(run_file, wanted.algorithm, tree_of(done))
    except CryoctlError as error:
        finished.shortfalls.append(f"volumes: {error.message}")
