"""Everything that can be found before anything starts: recipe, instrument, protocol, faults, prior dose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cryoctl.errors import FileProblem, RecipeError
from cryoctl.instrument import Instrument, load_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.against_devices import check_detectors, check_presets, check_shapes, check_wanted_elements
from cryoctl.launch.device_building import build_devices
from cryoctl.launch.facts import gather_facts
from cryoctl.launch.on_emulators import check_clock, on_emulators
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.request import RunRequest
from cryoctl.protocol import InstrumentFacts, Protocol
from cryoctl.recipe.loading import RawRecipe
from cryoctl.recipe.strict_yaml import read_document
from cryoctl.recipe.validation import validate
from cryoctl.recipe.wording import nearest
from cryoctl.units import quoted

DEFAULT_INSTRUMENT = "simulated"


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A checked request; nothing was written, no device was connected."""

    request: RunRequest
    name: str
    seed: int
    raw: RawRecipe
    protocol_class: type[Protocol]
    parameters: Any
    instrument: Instrument
    instrument_source: Path | str
    faults: tuple[Mapping[str, Any], ...]
    calibrated_at: datetime | None = None
    """The day against which calibrations must not have expired; None for now."""

    @property
    def virtual(self) -> bool:
        return self.instrument.file.clock == "virtual"


@dataclass(slots=True, kw_only=True)
class Furnished:
    """Devices built for one world, what they allow, and the protocol that knows it."""

    devices: DeviceSet
    context: DeviceContext
    facts: InstrumentFacts
    protocol: Protocol
    warnings: tuple[str, ...]
    tilt_axis_deg: float = 0.0
    """In-plane angle of the tilt axis from image +x; NaN where it has to be found from the images."""
    identities: dict[str, Identity] = field(default_factory=dict[str, Identity])
    """Who answered when the devices were connected, by name."""
    replay_of: str = ""
    """Name of the recorded data, empty where devices are what they say."""


def prepare(request: RunRequest, *, rehearsed: bool = False) -> Prepared:
    """Read and check recipe, instrument file and faults.

    Args:
        rehearsed: a real instrument's devices are put on emulators.

    Raises:
        BadInput: one sentence; nothing was written.
    """
    raw, protocol_class = read_recipe(request.recipe, request.overrides)
    parameters = validate(protocol_class.Parameters, raw)
    source = _named_instrument(request, raw)
    instrument = load_instrument(source, raw.instrument_overrides)
    if rehearsed:
        instrument = on_emulators(instrument)
    check_clock(instrument)
    if raw.simulation and instrument.file.clock != "virtual":
        raise RecipeError("simulation: this instrument is real; fields of the simulation can be set on simulators only")
    seed = request.seed if request.seed is not None else 0
    faults = read_faults(request.faults)
    check_fault_states(faults, protocol_class)
    return Prepared(
        request=request,
        name=recipe_name(request.recipe),
        seed=seed,
        raw=raw,
        protocol_class=protocol_class,
        parameters=parameters,
        instrument=instrument,
        instrument_source=source,
        faults=faults,
    )


def _named_instrument(request: RunRequest, raw: RawRecipe) -> Path | str:
    return request.instrument if request.instrument is not None else raw.instrument or DEFAULT_INSTRUMENT


def recipe_name(recipe: str) -> str:
    path = Path(recipe)
    return path.stem if path.suffix.lower() in (".yaml", ".yml", ".py") else path.name


def read_faults(path: Path | None) -> tuple[Mapping[str, Any], ...]:
    """The entries of a --faults file, a YAML list. Raises `FileProblem` or `RecipeError`."""
    if path is None:
        return ()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileProblem(f"--faults {path}: can't be read ({error.strerror}); give a YAML list of faults") from error
    entries = cast(list[Any], read_document(data, path.name, RecipeError, top="list").data)
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise RecipeError(f"--faults {path.name}: entry {number + 1} is no mapping; write device, fault and at")
    return tuple(cast(list[Mapping[str, Any]], entries))


def check_fault_states(faults: Sequence[Mapping[str, Any]], protocol_class: type[Protocol]) -> None:
    """Raises `RecipeError` for a fault at a state that the protocol does not have: it would never act."""
    states = protocol_class.chart.states
    for index, entry in enumerate(faults):
        at: Any = entry.get("at")
        state = cast(Mapping[str, Any], at).get("state") if isinstance(at, Mapping) else None
        if isinstance(state, str) and state not in states:
            near = nearest(state, states, limit=len(states))
            raise RecipeError(f"faults[{index}].at.state: {protocol_class.name} has no state {quoted(state)}: {near}")


def furnish(
    prepared: Prepared, world_file: Path | None, *, hidden_draws: bool = True, shared: Mapping[str, Any] | None = None
) -> Furnished:
    """Build the devices (nothing is opened) and the protocol, and let it look at what they allow.

    Args:
        shared: what simulators are told besides (`DeviceContext.shared`).

    Raises:
        InstrumentError, RecipeError: one sentence; nothing was written.
    """
    context = DeviceContext(
        seed=prepared.seed,
        world_file=world_file,
        simulation=prepared.raw.simulation,
        faults=prepared.faults,
        hidden_draws=hidden_draws,
        shared=dict(shared or {}),
    )
    specimen = getattr(prepared.parameters, "specimen", None)
    if specimen is not None:
        context.shared["specimen"] = {key: value for key, value in specimen.model_dump().items() if value}
    devices = build_devices(prepared.instrument, context, prepared.protocol_class.requires, prepared.raw.protocol)
    if devices.truth is not None:
        devices.truth.check()
    facts = gather_facts(prepared.instrument, devices, prepared.calibrated_at)
    check_presets(prepared.instrument, facts, devices)
    check_wanted_elements(prepared.parameters, facts)
    check_detectors(prepared.parameters, devices)
    check_shapes(prepared.parameters, devices.beam.capabilities.square_px)
    warnings = prepared.protocol_class.check(prepared.parameters, facts)
    protocol = prepared.protocol_class(prepared.parameters, facts)
    return Furnished(devices=devices, context=context, facts=facts, protocol=protocol, warnings=tuple(warnings))
