"""Small random recipes for `cryoctl campaign` (entry points `cryoctl.campaign_recipes`): a second of CPU each.

A function is given a source of chance, seeded by the campaign, and returns the fields of a recipe file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from cryoctl.units import A2_PER_M2, ELEMENTARY_CHARGE_C

T = TypeVar("T")

_CURRENT_A = 0.2e-9
"""Of the preset that the bundled instrument records with."""
_LONGEST_SCAN_S = 8.0
_SECOND_STOP_S = 1.0
"""The slowest column valve that a campaign draws: what is kept back for a blanker that fails."""


class Chance(Protocol):
    """As much of `random.Random` as a recipe is drawn with."""

    def random(self) -> float: ...
    def uniform(self, a: float, b: float) -> float: ...
    def randint(self, a: int, b: int) -> int: ...
    def choice(self, seq: Sequence[T]) -> T: ...
    def sample(self, population: Sequence[T], k: int) -> list[T]: ...


def edx_tomography(chance: Chance) -> dict[str, Any]:
    """Two to five tilts of a small field, each scheme and split, limits that bite in half of the cases."""
    tilts, n_tilts = _tilts(chance)
    shape = [chance.randint(16, 24), chance.randint(20, 32)]
    pixel_m = chance.choice([15e-9, 25e-9, 40e-9])
    scans = chance.randint(1, 3)
    field_a2 = shape[0] * shape[1] * pixel_m**2 * A2_PER_M2
    electrons_per_s = _CURRENT_A / ELEMENTARY_CHARGE_C
    most = min(1500.0, min(0.04 * shape[0] * shape[1], _LONGEST_SCAN_S) * scans * electrons_per_s / field_a2)
    per_tilt = round(most * chance.uniform(0.2, 1.0), 3)
    shower = chance.random() < 0.15
    two = n_tilts <= 3 and chance.random() < 0.3
    planned = per_tilt * n_tilts + (8.0 if shower else 3.0)
    kept_back = _SECOND_STOP_S * electrons_per_s / field_a2
    least = 2.2 * per_tilt + 1.4 * kept_back + (20.0 if shower else 10.0)
    split = chance.choice(["equal", "geometry", "explicit"])
    dose: dict[str, Any] = {"per_tilt_e_per_a2": per_tilt, "split": split}
    if split == "explicit":
        dose["weights"] = [round(chance.uniform(0.5, 1.5), 2) for _ in range(n_tilts)]
    dose["limit_e_per_a2"] = round(max(least, (planned + kept_back) * chance.uniform(0.5, 1.6)), 2)
    return {
        "specimen": {"name": "nanowire"},
        "tilts": tilts,
        "dose": dose,
        "edx": {"elements": ["Si"], "scans": scans, "dense": False},
        "image": {"shape": shape, "pixel_size_m": pixel_m},
        "track": {"every": chance.choice([0, 1, 1, 2]), "shape": [48, 64], "dose_e_per_a2": 3.0},
        "focus": {"every": chance.choice([0, 0, 0, 2]), "shape": [32, 48], "pictures": 4},
        "search": {"shape": [48, 64], "pixel_size_m": 60e-9},
        "eucentric": {"enabled": chance.random() < 0.3, "rounds": 1},
        "shower": {
            "enabled": shower,
            "dose_e_per_a2": round(chance.uniform(1, 4), 2),
            "width_m": 2e-6,
            "height_m": 1e-6,
        },
        "live": {"enabled": False},
        "drift": {"timeout_s": chance.choice([0, 20])},
        "temperature": {"timeout_s": 120},
        "current": {"measure_interval_s": chance.choice([60, 600])},
        "on_lost": chance.choice(["skip", "repeat"]),
        "on_target_lost": chance.choice(["skip", "end"]),
        "targets": _targets(two),
        "simulation": _hidden(chance),
    }


def biased_series(chance: Chance) -> dict[str, Any]:
    """A few small pictures under a waveform of a minute, within limits that hold it or not."""
    duration_s = round(chance.uniform(20, 90), 1)
    voltage_v = round(chance.uniform(0.2, 3.0) * chance.choice([-1, 1, 1]), 3)
    compliance_a = chance.choice([3e-9, 1e-8, 1e-7])
    dose = round(chance.uniform(0.5, 3.0), 2)
    return {
        "specimen": {"name": "nanowire"},
        "bias": {
            "waveform": _waveform(chance, duration_s),
            "voltage_v": voltage_v,
            "limit_v": 5.0,
            "compliance_a": compliance_a,
        },
        "frame_interval_s": round(chance.uniform(4, 12), 1),
        "before": chance.randint(0, 2),
        "dose_limit_e_per_a2": round(chance.uniform(4, 60), 2),
        "pictures": {"shape": [24, 32], "pixel_size_m": 20e-9, "dose_e_per_a2": dose},
        "simulation": {
            **_hidden(chance),
            "clocks": {
                "bias": {
                    "offset_s": round(chance.uniform(-5, 5), 4),
                    "drift_rel": round(chance.uniform(-1e-4, 1e-4), 8),
                }
            },
        },
    }


def needle_biasing(chance: Chance) -> dict[str, Any]:
    """A needle that is near already, small pictures on its way, and some seconds under bias: four seconds of CPU."""
    limit_v = chance.choice([5.0, 5.0, 5.0, 10.0])
    recipe: dict[str, Any] = {
        "instrument": "needle-holder",
        "specimen": {"name": "coated-particles"},
        "needle": {"clear_distance_m": 1.5e-6, "coarse_stop_m": 3e-6, "looks": 120},
        "looks": {"overview_m": 3e-5, "shape": [128, 256], "close_shape": [160, 160], "close_pixel_m": 3e-9},
        "bias": {
            "waveform": _waveform(chance, round(chance.uniform(6, 16), 1)),
            "voltage_v": round(chance.uniform(0.05, 0.7) * limit_v * chance.choice([-1, 1, 1]), 3),
            "limit_v": limit_v,
            "compliance_a": chance.choice([3e-9, 1e-8, 1e-7]),
        },
        "frame_interval_s": round(chance.uniform(1, 5), 1),
        "before": chance.randint(1, 2),
        "dose": {"limit_e_per_a2": round(chance.choice([100.0, 1000.0, 1000.0]) * chance.uniform(1, 3), 1)},
        "pictures": {"shape": [64, 64]},
        "temperature_limit_k": 350.0,
        "simulation": {**_hidden(chance), "needle": _hidden_needle(chance)},
    }
    if chance.random() < 0.2:
        recipe["end"] = {"time_s": round(chance.uniform(1, 10), 1)}
    if chance.random() < 0.25:
        recipe["needle"]["conducts"] = True
        recipe["simulation"]["specimen"] = {"cell": {"conducts": chance.random() < 0.7}}
    return recipe


def chip_biasing(chance: Chance) -> dict[str, Any]:
    """Quick sweeps and half a minute of hold of either kind, a few lattice pictures: three seconds of CPU."""
    shape = [chance.randint(200, 280), chance.randint(280, 360)]
    each = round(chance.uniform(3.0, 8.0), 2)
    current_a, pixel_m = 2e-12, 1.7e-10
    rate = current_a / ELEMENTARY_CHARGE_C / (shape[0] * shape[1] * pixel_m**2 * A2_PER_M2)
    recipe: dict[str, Any] = {
        "instrument": "chip-holder",
        "specimen": {"name": "perovskite-cell"},
        "facets": _facets(chance),
        "light_w_per_m2": round(chance.choice([0.0, 1000.0, 1000.0, 1000.0]) * chance.uniform(0.3, 1.1), 1),
        "sweep": {
            "cycles": chance.randint(1, 2),
            "rate_v_per_s": round(chance.uniform(0.5, 1.5), 2),
            "settle_s": chance.choice([0.0, 1.0]),
            "first": chance.choice(["forward", "reverse"]),
        },
        "bias": {
            "hold": chance.choice(["maximum-power-point", "constant-voltage"]),
            "voltage_v": round(chance.uniform(0.5, 1.2), 3),
            "limit_v": 2.0,
            "compliance_a": chance.choice([1e-8, 1e-8, 1e-7]),
            "duration_s": round(chance.uniform(8, 24), 1),
            "dwell_s": round(chance.uniform(1, 4), 1),
        },
        "beam_current": {"dose_e_per_a2": chance.choice([0.0, 1.0])},
        "before": 1,
        "frame_interval_s": round(chance.uniform(4, 10), 1),
        "blanked": {"every": chance.choice([0, 0, 1]), "for_s": 5.0},
        "dose": {"limit_e_per_a2": round(each * chance.uniform(4.0, 12.0) + 10.0 + _SECOND_STOP_S * rate, 1)},
        "pictures": {
            "shape": shape,
            "beam_current_a": current_a,
            "pixel_size_m": pixel_m,
            "search_shape": [512, 512],
            "dose_e_per_a2": each,
        },
        "simulation": _hidden(chance),
    }
    if chance.random() < 0.2:
        recipe["end"] = {"time_s": round(chance.uniform(2, 10), 1)}
    return recipe


def _facets(chance: Chance) -> list[dict[str, Any]]:
    """One or two of those that the simulated cell shows."""
    known = [{"name": "100", "spacing_m": 6.28e-10}, {"name": "110", "spacing_m": 4.44e-10}]
    return known if chance.random() < 0.7 else [chance.choice(known)]


def _hidden_needle(chance: Chance) -> dict[str, float]:
    drawn = {
        "gap_m": chance.uniform(4.5e-6, 9e-6),
        "offset_m": chance.uniform(-8e-7, 8e-7),
        "height_m": chance.uniform(-5e-7, 5e-7),
        "direction_ratio": chance.uniform(0.6, 1.6),
        "scatter_rel": chance.uniform(0.05, 0.15),
        "tip_radius_m": chance.uniform(15e-9, 50e-9),
        "drift_m_per_s": 10 ** chance.uniform(-12, -9.5),
    }
    return {name: float(f"{value:.4g}") for name, value in drawn.items()}


def _waveform(chance: Chance, duration_s: float) -> dict[str, Any]:
    """Each form that a recipe knows, of about this duration."""
    forms: list[dict[str, Any]] = [
        {"scheme": "constant-voltage", "duration_s": duration_s},
        {"scheme": "constant-current", "current_a": round(chance.uniform(-2e-9, 2e-9), 12), "duration_s": duration_s},
        {"scheme": "ramp", "rate_v_per_s": 0.1, "hold_s": duration_s / 2},
        {"scheme": "steps", "levels_v": [0.5, 1.5, -1.0], "dwell_s": round(duration_s / 3, 2)},
        {"scheme": "pulses", "width_s": 2, "period_s": 8, "count": 6},
        {"scheme": "cyclic-voltammetry", "first_v": 1.0, "second_v": -1.0, "rate_v_per_s": 0.1, "cycles": 1},
        {"scheme": "open-circuit", "duration_s": duration_s},
        {"scheme": "points", "times_s": [0, duration_s / 2, duration_s], "voltages_v": [0, 2.0, 0.5]},
        {
            "scheme": "galvanostatic-cycling",
            "current_a": 1e-9,
            "low_v": -0.5,
            "high_v": 0.8,
            "longest_s": round(duration_s / 2, 1),
            "rest_s": 2,
        },
    ]
    return chance.choice(forms)


def calibrate(chance: Chance) -> dict[str, Any]:
    """The least that it measures with: three repeats of small pictures."""
    return {
        "specimen": {"name": "nanowire"},
        "repeats": 3,
        "dose_limit_e_per_a2": round(chance.choice([30.0, 200.0, 1000.0]) * chance.uniform(1, 3), 2),
        "pictures": {
            "shape": [64, 80],
            "pixel_size_m": 40e-9,
            "dose_e_per_a2": round(chance.uniform(1.0, 4.0), 3),
        },
        "height_m": 1.3e-6,
        "move_m": 0.45e-6,
        "image_shift_m": 0.45e-6,
        "settle_s": chance.choice([2, 5]),
        "simulation": _hidden(chance),
    }


def _targets(two: bool) -> list[dict[str, Any]]:
    """Along the wire; of two the second is begun with what the areas of the first one left there."""
    if two:
        return [{"name": "one", "x_m": -4.5e-6, "y_m": 0.0}, {"name": "two", "x_m": 4.5e-6, "y_m": 0.0}]
    return [{"name": "wire", "x_m": 0.0, "y_m": 0.0}]


def _hidden(chance: Chance) -> dict[str, Any]:
    """What is wrong with this microscope, within the bounds that its instrument file states."""
    return {
        "beam": {"current_error": round(chance.uniform(-0.1, 0.1), 4)},
        "stage": {
            "backlash_m": float(f"{chance.uniform(2e-7, 4e-7):.3g}"),
            "drift_m_per_s": float(f"{10 ** chance.uniform(-12, -9.3):.3g}"),
        },
    }


def _tilts(chance: Chance) -> tuple[dict[str, Any], int]:
    scheme = chance.choice(["dose-symmetric", "bidirectional", "unidirectional", "golden-ratio", "list"])
    high = round(chance.uniform(15, 55), 1)
    fields: dict[str, Any] = {"scheme": scheme}
    if chance.random() < 0.4:
        fields["pretilt_deg"] = round(chance.uniform(-9, 9), 2)
    if scheme == "list":
        count = chance.randint(2, 4)
        fields["list_deg"] = [round(high * (2 * step / 8 - 1), 2) for step in chance.sample(range(9), count)]
        return fields, count
    fields |= {"min_deg": -high, "max_deg": high}
    if scheme == "golden-ratio":
        fields["count"] = chance.randint(2, 5)
        return fields, fields["count"]
    if scheme == "dose-symmetric":
        fields["group"] = chance.randint(1, 2)
    steps = chance.randint(1, 2)
    fields["step_deg"] = round(high / steps, 2) if steps == 1 else float(int(high / steps))
    return fields, 2 * int(high / fields["step_deg"] + 1e-9) + 1
