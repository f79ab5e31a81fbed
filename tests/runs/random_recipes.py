"""Random recipes for the dose property: every scheme, limits that bite, hidden errors as large as they may be.

Scans are what the field uses: several scan frames a tilt, each of up to 20 s. In a single scan frame of minutes drift
packs the lines by a few percent that nothing measures; the ledger then keeps the bound and is no longer within 2 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomRecipe:
    """`overrides` repeat the case by hand: `cryoctl run edx-tomography --seed SEED --set ...`."""

    case: int
    seed: int
    overrides: tuple[str, ...]

    @property
    def command(self) -> str:
        sets = " ".join(f"--set '{text}'" for text in self.overrides)
        return f"cryoctl run edx-tomography --seed {self.seed} {sets}"


def random_recipe(case: int) -> RandomRecipe:
    """The case-th recipe, the same everywhere and at any time."""
    rng = np.random.default_rng([20261121, case])
    tilts, n_tilts = _tilts(rng)
    shape = [int(rng.integers(24, 49)), int(rng.integers(32, 65))]
    pixel_m = float(rng.choice([8e-9, 15e-9, 25e-9, 40e-9]))
    scans = int(rng.integers(2, 5))
    # At 200 pA; half of the longest dwell (0.1 s) and of the longest scan frame, for a split may double a tilt's share.
    dwell_s = min(0.05, 10.0 / (shape[0] * shape[1]))
    most = min(1500.0, dwell_s * scans * 0.2e-9 / 1.602e-19 / (pixel_m * 1e10) ** 2)
    per_tilt = float(np.round(most * rng.uniform(0.1, 1.0), 2))
    split = str(rng.choice(["equal", "geometry", "explicit"]))
    dose: dict[str, Any] = {"per_tilt_e_per_a2": per_tilt, "split": split}
    if split == "explicit":
        dose["weights"] = [float(w) for w in np.round(rng.uniform(0.5, 1.5, n_tilts), 2)]
    shower = bool(rng.random() < 0.3)
    planned = per_tilt * n_tilts + 0.5 + (20.0 if shower else 0.0)
    # At the least one exposure, with what the gate keeps back for a blanker that fails (0.5 s on the field).
    kept_back = 0.5 * 0.2e-9 / 1.602e-19 / (shape[0] * shape[1] * (pixel_m * 1e10) ** 2)
    least = 2.2 * per_tilt + 25.0 + 1.3 * kept_back
    dose["limit_e_per_a2"] = float(np.round(max(least, planned * rng.uniform(0.4, 1.3)), 2))
    blanks_flyback = bool(rng.random() < 0.6)
    chosen: dict[str, Any] = {
        "tilts": tilts,
        "dose": dose,
        "edx": {"elements": ["Si"], "scans": scans, "dense": False},
        "image": {"shape": shape, "pixel_size_m": pixel_m, "dwell_s": None},
        "track.every": int(rng.choice([0, 1, 1, 2])),
        "track.shape": [48, 64],
        "focus.every": int(rng.choice([0, 0, 2, 3])),
        "focus.shape": [32, 48],
        "focus.pictures": 4,
        "search.shape": [64, 96],
        "eucentric.enabled": bool(rng.random() < 0.5),
        "eucentric.rounds": 1,
        "live.enabled": False,
        "shower": {
            "enabled": shower,
            "dose_e_per_a2": float(np.round(rng.uniform(1, 20), 2)),
            "width_m": float(np.round(rng.uniform(1e-6, 3e-6), 9)),
            "height_m": float(np.round(rng.uniform(0.5e-6, 2e-6), 9)),
        },
        "simulation.beam.current_error": float(np.round(rng.uniform(-0.1, 0.1), 4)),
        "simulation.stage.backlash_m": float(np.round(rng.uniform(2e-7, 4e-7), 9)),
        "simulation.stage.drift_m_per_s": float(f"{10 ** rng.uniform(-12, -9.3):.3g}"),
        "instrument.devices.beam.settings.blanks_flyback": blanks_flyback,
    }
    if rng.random() < 0.3:
        # Two targets along the wire; the second is begun with what the first one's areas left there.
        chosen["targets"] = [{"name": "one", "x_m": -4.5e-6, "y_m": 0}, {"name": "two", "x_m": 4.5e-6, "y_m": 0}]
    seed = int(rng.integers(0, 2**62))
    overrides = tuple(f"{path}={_yaml(value)}" for path, value in chosen.items())
    return RandomRecipe(case=case, seed=seed, overrides=overrides)


def _tilts(rng: np.random.Generator) -> tuple[dict[str, Any], int]:
    scheme = str(rng.choice(["dose-symmetric", "bidirectional", "unidirectional", "saxton", "golden-ratio", "list"]))
    pretilt = float(np.round(rng.uniform(-9, 9), 2)) if rng.random() < 0.5 else 0.0
    high = float(np.round(rng.uniform(25, 60), 1))
    fields: dict[str, Any] = {"scheme": scheme, "pretilt_deg": pretilt}
    if scheme == "list":
        count = int(rng.integers(3, 7))
        fields["list_deg"] = [float(a) for a in rng.choice(np.linspace(-high, high, 13).round(2), count, replace=False)]
        return fields, count
    fields |= {"min_deg": -high, "max_deg": high}
    if scheme == "golden-ratio":
        fields["count"] = int(rng.integers(3, 7))
        return fields, fields["count"]
    step = float(np.round(high / float(rng.choice([1.5, 2.2, 2.8])), 2))
    fields["step_deg"] = step
    if scheme == "dose-symmetric":
        fields["group"] = int(rng.integers(1, 3))
    if scheme == "saxton":
        from cryoctl_protocols.tilt_schemes import Saxton

        return fields, len(Saxton(min_deg=-high, max_deg=high, step_deg=step).angles_deg())
    return fields, 2 * int(high / step + 1e-9) + 1


def _yaml(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("...").strip()
