"""What a recipe of the EDX tomography can say."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cryoctl.units import (
    Degrees,
    DosePerA2,
    DoseRatePerA2,
    ElectronVolts,
    Kelvin,
    Metres,
    MetresPerSecond,
    Pascals,
    Seconds,
    StrictModel,
    quoted,
)
from cryoctl_protocols.tilt_schemes import DoseSymmetric, Tilts

_SYMBOL = r"^[A-Z][a-z]?$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"


def _symbol(value: Any) -> Any:
    if isinstance(value, str) and not re.search(_SYMBOL, value):
        likely = value.strip().capitalize()
        hint = f"did you mean {quoted(likely)}" if re.search(_SYMBOL, likely) else "like Si"
        raise ValueError(f"found {quoted(value)}: a chemical symbol is wanted, {hint}")
    return value


def _plain_name(value: Any) -> Any:
    if isinstance(value, str) and not re.search(_NAME, value):
        raise ValueError(
            f"found {quoted(value)}: a name of letters, digits and _ . + - is wanted, a letter or digit first"
        )
    return value


Element = Annotated[str, BeforeValidator(_symbol), Field(pattern=_SYMBOL)]
Name = Annotated[str, BeforeValidator(_plain_name), Field(min_length=1, max_length=40, pattern=_NAME)]
Pixels = Annotated[int, Field(ge=8, strict=True)]
Shape = tuple[Pixels, Pixels]
Positive = Annotated[DosePerA2, Field(gt=0.0)]


class Specimen(StrictModel):
    name: Name = "nanowire"
    """Name under which the dose of earlier runs is found (`--specimen`)."""
    stage: str = ""
    """How far it was cycled, or any other state that its file knows; empty takes the file's first."""


class Dose(StrictModel):
    """Beam-normal fluence in electrons per square angstrom, per specimen pixel."""

    limit_e_per_a2: Positive = 5e4
    """No pixel of the specimen may receive more, everything counted; the series ends in good order before."""
    per_tilt_e_per_a2: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = 1000.0
    """What is planned for each tilt: a number, or a list in the order of acquisition."""
    split: Literal["equal", "geometry", "explicit"] = "equal"
    """How the sum is spread: as planned (a wire), with 1/cos of the tilt (a film), or by `weights`."""
    weights: tuple[Annotated[float, Field(ge=0.0, le=1e6)], ...] | None = None
    """For `split: explicit`: one weight a tilt, in the order of acquisition."""

    @model_validator(mode="after")
    def _weights_where_wanted(self) -> Dose:
        if self.split == "explicit" and not self.weights:
            raise ValueError("weights are missing: split explicit needs one weight a tilt")
        if self.split != "explicit" and self.weights is not None:
            raise ValueError(f"weights belong to split explicit, found split {self.split}: remove one of them")
        if self.weights is not None and sum(self.weights) <= 0.0:
            raise ValueError("weights are all 0: at least one has to be above 0")
        return self


class Edx(StrictModel):
    elements: tuple[Element, ...] = Field(default=("Si", "O", "F", "C"), min_length=1, max_length=30)
    """Chemical symbols of the elements to map."""
    scans: int = Field(default=8, ge=1, le=256, strict=True)
    """Scan frames a tilt; each is registered to the first."""
    dense: bool = True
    """Also keep the spectrum image as an array at the end of the run."""
    window_ev: ElectronVolts = Field(default=160.0, gt=0.0, le=2000.0)
    """Full width of the windows in which counts are summed for the quick look."""
    detector: Name = "edx"

    @model_validator(mode="after")
    def _no_repeats(self) -> Edx:
        for index, element in enumerate(self.elements):
            if element in self.elements[:index]:
                raise ValueError(f"elements hold {element} twice: each may be there once")
        return self


class Image(StrictModel):
    shape: Shape = (96, 128)
    """Rows (y, across the tilt axis) and columns (x, along it) of the record area."""
    pixel_size_m: Metres = Field(default=10e-9, gt=1e-12, le=1e-5)
    dwell_s: Annotated[Seconds, Field(gt=0.0)] | None = None
    """Per pixel and scan frame. Null: it follows from the dose and the measured current; given: the beam current
    is chosen for it."""
    dynamic_focus: bool = True
    detector: Name = "haadf"


class Track(StrictModel):
    """Tracking by cross-correlation beside the target, along the tilt axis."""

    every: int = Field(default=1, ge=0, le=1000, strict=True)
    """Track at every n-th tilt; 0 never."""
    shape: Shape = (96, 128)
    pixel_size_m: Metres = Field(default=10e-9, gt=1e-12, le=1e-5)
    dose_e_per_a2: Positive = 1.0
    """A picture."""
    max_shift_m: Metres = Field(default=100e-9, gt=0.0)
    """A larger shift is measured again after it was corrected."""
    min_quality: float = Field(default=12.0, ge=0.0, le=1000.0)
    """Peak of the correlation over its spread below which a picture is not believed (noise alone gives up to 7.5)."""
    max_age_s: Seconds = Field(default=120.0, gt=0.0)
    """Where the run had to wait so long since it tracked (a nitrogen refill, a pause), it tracks again before it
    records."""
    retries: int = Field(default=2, ge=0, le=10, strict=True)
    """How often the target is looked for in a wider field before it counts as lost."""
    max_stride_deg: Degrees = Field(default=12.0, gt=0.0, le=60.0)
    """Larger ways from the nearest reference are tracked in strides."""
    prediction_sigma_m: Metres = Field(default=100e-9, gt=0.0)
    """How well a tilt is predicted before it was looked at, beam-normal, the height above the tilt axis left out."""


class Focus(StrictModel):
    """Focusing by a through-focus series on the other side of the target."""

    every: int = Field(default=5, ge=0, le=1000, strict=True)
    """Focus at every n-th tilt; 0 never."""
    shape: Shape = (96, 128)
    pixel_size_m: Metres = Field(default=5e-9, gt=1e-12, le=1e-5)
    dose_e_per_a2: Positive = 4.0
    """A picture."""
    pictures: int = Field(default=5, ge=4, le=15, strict=True)
    step_m: Metres = Field(default=1e-6, gt=0.0, le=1e-4)
    """Defocus between the pictures."""


class Search(StrictModel):
    """A wide field at very low dose, over the target."""

    enabled: bool = True
    shape: Shape = (96, 128)
    pixel_size_m: Metres = Field(default=40e-9, gt=1e-12, le=1e-5)
    dose_e_per_a2: Positive = 0.05
    """A picture."""
    centre_on_wire: bool = True
    """Move the record area across the tilt axis onto the middle of the wire."""
    max_offset_m: Metres = Field(default=1.2e-6, gt=0.0)
    """A target farther from where it was expected is not believed."""


class Eucentric(StrictModel):
    enabled: bool = True
    tilt_deg: Degrees = Field(default=10.0, gt=0.5, le=45.0)
    """The height is measured between plus and minus this."""
    tolerance_m: Metres = Field(default=50e-9, gt=0.0)
    rounds: int = Field(default=3, ge=1, le=10, strict=True)


class Target(StrictModel):
    name: Name
    x_m: Metres = 0.0
    """In the specimen's frame, along the tilt axis."""
    y_m: Metres = 0.0
    """In the specimen's frame, across the tilt axis."""


class Areas(StrictModel):
    offset_m: Annotated[Metres, Field(gt=0.0)] | None = None
    """Distance of the track and focus areas from the target along the tilt axis; null: as near as is safe."""
    position_sigma_m: Metres = Field(default=50e-9, gt=0.0, le=2e-6)
    """How well the place of a tracked exposure is known, repeatability included (three of them are the bound)."""
    gap_m: Metres = Field(default=50e-9, ge=0.0)
    """Kept between areas on top of three position sigmas of each."""
    shift_reserve_m: Metres = Field(default=0.8e-6, ge=0.0)
    """Image shift kept free for tracking."""


class OpticsNames(StrictModel):
    """Presets of the instrument file."""

    search: Name = "search"
    record: Name = "record"
    """Also used for track and focus: a change of optics between them would shift the image."""


class Approach(StrictModel):
    """Moves end in the same direction, upwards, so that the backlash is the same each time."""

    overshoot_m: Metres = Field(default=1e-6, ge=0.0)
    overshoot_deg: Degrees = Field(default=0.3, ge=0.0, le=5.0)
    settle_s: Seconds = Field(default=2.0, ge=0.0)
    """Waited after each tilt, before the first track picture."""


class Drift(StrictModel):
    limit_m_per_s: MetresPerSecond = Field(default=0.5e-9, gt=0.0)
    interval_s: Seconds = Field(default=15.0, gt=0.0)
    """Between the two track pictures that measure the drift."""
    timeout_s: Seconds = Field(default=120.0, ge=0.0)
    """After this the tilt is recorded all the same; 0: drift is not waited for."""
    unwatched_m_per_s: MetresPerSecond = Field(default=2e-9, ge=0.0)
    """Taken as its bound where it is not watched: drift with the slow scan packs the lines closer, which the dose
    counts."""


class Current(StrictModel):
    measure_interval_s: Seconds = Field(default=600.0, gt=0.0)
    """The beam current is measured again at the first tilt after this time."""
    bracket: bool = True
    """Also measured right before and after each record exposure. What is exposed until the current is measured again is
    gated as if it had risen by a tenth and 2 % a minute meanwhile, so that long series without this get less."""


class Temperature(StrictModel):
    limit_k: Kelvin = Field(default=120.0, gt=0.0)
    """Above this nothing is exposed."""
    timeout_s: Seconds = Field(default=1800.0, ge=0.0)
    """How long the run waits for the specimen to be cold again, or for nitrogen."""


class Nitrogen(StrictModel):
    minimum: float = Field(default=0.05, ge=0.0, le=1.0)
    """Filling of the dewar below which nothing is exposed."""


Policy = Literal["wait", "pause", "secure", "abort"]


class Interlocks(StrictModel):
    """What is done when the surroundings go wrong. An exposure under way is finished first, but for `abort`.

    `wait`: blanked until it clears, then the run goes on by itself. `pause`: blanked until the operator acknowledges or
    says go. Both become `secure` when their patience is over: nothing is exposed any more and the run ends in good
    order. `abort`: the exposure is stopped and the run ends at once.
    """

    temperature: Policy = "wait"
    sensor: Policy = "wait"
    """The temperature sensor is invalid."""
    nitrogen: Policy = "wait"
    vacuum: Policy = "abort"
    valves: Policy = "abort"
    beam_current: Policy = "secure"
    """The measured current is out of calibration."""
    disk: Policy = "secure"
    """No room for the next frame and the run file."""
    pressure_max_pa: Pascals = Field(default=1e-2, gt=0.0)
    current_tolerance: float = Field(default=0.5, gt=0.0, le=1.0)
    """How far the measured beam current may be from that of the preset, as calibrated, relative."""
    dose_rate_max_e_per_a2_s: Annotated[DoseRatePerA2, Field(gt=0.0)] | None = None
    """Averaged over the scanned field; an exposure above it is refused. Null: only the instrument file's limit."""
    patience_s: Annotated[Seconds, Field(ge=0.0)] | None = None
    """Of wait and pause; null: as temperature.timeout_s, where the recipe has it, else 30 min."""

    def limits(self) -> dict[str, float]:
        """As `Protocol.interlock_limits` gives them."""
        told = {"pressure_max_pa": self.pressure_max_pa, "current_tolerance_rel": self.current_tolerance}
        if self.dose_rate_max_e_per_a2_s is not None:
            told["dose_rate_max_e_per_a2_s"] = self.dose_rate_max_e_per_a2_s
        if self.patience_s is not None:
            told["patience_s"] = self.patience_s
        return told

    def policies(self) -> dict[str, str]:
        """By the interlock's name."""
        return {
            "temperature": self.temperature,
            "temperature-sensor": self.sensor,
            "nitrogen": self.nitrogen,
            "vacuum": self.vacuum,
            "valves": self.valves,
            "beam-current": self.beam_current,
            "disk": self.disk,
        }


class Shower(StrictModel):
    """Broad irradiation before the series, against contamination; counted like any dose."""

    enabled: bool = False
    dose_e_per_a2: Positive = 100.0
    width_m: Metres = Field(default=4e-6, gt=0.0)
    height_m: Metres = Field(default=3e-6, gt=0.0)


class Live(StrictModel):
    """Reconstruction while the tilts arrive."""

    enabled: bool = True
    passes: int = Field(default=1, ge=1, le=50, strict=True)
    """Passes over the tilts so far at each new tilt."""


class End(StrictModel):
    time_s: Annotated[Seconds, Field(gt=0.0)] | None = None
    """The series ends at the first tilt after this time."""
    edx_counts: Annotated[int, Field(gt=0, strict=True)] | None = None
    """The series of a target ends once its tilts hold so many EDX counts."""


class EdxTomographyParameters(StrictModel):
    """Dose-limited cryo-STEM-EDX tomography."""

    specimen: Specimen = Specimen()
    tilts: Tilts = DoseSymmetric()
    dose: Dose = Dose()
    edx: Edx = Edx()
    image: Image = Image()
    track: Track = Track()
    focus: Focus = Focus()
    search: Search = Search()
    eucentric: Eucentric = Eucentric()
    areas: Areas = Areas()
    targets: tuple[Target, ...] = Field(default=(Target(name="wire"),), min_length=1, max_length=200)
    """One complete series each, one after another."""
    on_target_lost: Literal["skip", "end"] = "skip"
    """What a lost target means for the others."""
    on_lost: Literal["skip", "repeat"] = "repeat"
    """What is done with a tilt whose frame never came (its dose is charged)."""
    optics: OpticsNames = OpticsNames()
    approach: Approach = Approach()
    drift: Drift = Drift()
    current: Current = Current()
    temperature: Temperature = Temperature()
    nitrogen: Nitrogen = Nitrogen()
    interlocks: Interlocks = Interlocks()
    shower: Shower = Shower()
    live: Live = Live()
    end: End = End()

    @model_validator(mode="after")
    def _fits_together(self) -> EdxTomographyParameters:
        count = len(self.tilts.angles_deg())
        planned = self.dose.per_tilt_e_per_a2
        if isinstance(planned, tuple) and len(planned) != count:
            raise ValueError(f"dose.per_tilt_e_per_a2 lists {len(planned)} doses for {count} tilts: one a tilt")
        if self.dose.weights is not None and len(self.dose.weights) != count:
            raise ValueError(f"dose.weights holds {len(self.dose.weights)} weights for {count} tilts: one a tilt")
        names = [target.name for target in self.targets]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"targets: two are called {name!r}: give each a name of its own")
        return self
