"""How fast facets fade: by dose at one rate for all, by bias at a rate of each, fitted to all pictures at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.stats import norm

from cryoctl.analysis.blas_threads import one_blas_thread

Float = npt.NDArray[np.float64]

ONSET_LOSS = 0.1
"""Share of its intensity that a facet has lost at its onset, by bias alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """Intensities [facet, picture] and sigmas of one region, NaN where there is none; each picture's dose (e-/A^2) and
    seconds under bias until then, 0 for ever in a control."""

    name: tuple[str, ...]
    intensity: Float
    sigma: Float
    dose_e_per_a2: Float
    bias_s: Float

    def known(self, facet: int) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.intensity[facet]) & (self.sigma[facet] > 0)


def region_of(values: Mapping[str, Any]) -> Region:
    """From plain values under the names of the fields."""
    count = len(values["dose_e_per_a2"])
    return Region(
        name=tuple(str(one) for one in values["name"]),
        intensity=np.asarray(values["intensity"], dtype=np.float64).reshape(-1, count),
        sigma=np.asarray(values["sigma"], dtype=np.float64).reshape(-1, count),
        dose_e_per_a2=np.asarray(values["dose_e_per_a2"], dtype=np.float64),
        bias_s=np.asarray(values["bias_s"], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decline:
    """Intensities go as exp(-dose_rate D - bias_rate T), each facet with a bias_rate [active facet] and an initial
    intensity, by region and name; `covariance` is of dose_rate, then the bias rates. `scatter` is the mean square of
    residual over sigma, by which the covariance has been raised where it is above 1."""

    name: tuple[str, ...]
    initial: tuple[dict[str, float], ...]
    dose_rate_a2: float
    bias_rate_per_s: Float
    covariance: Float
    scatter: float

    def rate_sigma(self) -> Float:
        return np.sqrt(np.diag(self.covariance)[1:])

    def order_probability(self, first: int, second: int) -> float:
        """That the first facet really fades faster than the second under bias."""
        c, i, j = self.covariance, first + 1, second + 1
        sigma = math.sqrt(max(c[i, i] + c[j, j] - 2 * c[i, j], 1e-300))
        return float(norm.cdf((self.bias_rate_per_s[first] - self.bias_rate_per_s[second]) / sigma))


def fit_decline(regions: Sequence[Region]) -> Decline | None:
    """Of the facets of all regions together; None where there are fewer pictures than unknowns."""
    dose_scale = max((float(one.dose_e_per_a2.max()) for one in regions if one.dose_e_per_a2.size), default=0.0) or 1.0
    bias_scale = max((float(one.bias_s.max()) for one in regions if one.bias_s.size), default=0.0) or 1.0
    curves: list[tuple[Float, Float, Float, Float, int]] = []
    names: list[str] = []
    initial: list[float] = []
    own_names: list[tuple[int, str]] = []
    for place, one in enumerate(regions):
        biased = bool(one.bias_s.max(initial=0.0) > 0)
        for facet, name in enumerate(one.name):
            known = one.known(facet)
            if known.sum() < 2:
                continue
            own = len(names) if biased else -1
            if biased:
                names.append(name)
            values = one.intensity[facet, known]
            curves.append(
                (
                    one.dose_e_per_a2[known] / dose_scale,
                    one.bias_s[known] / bias_scale,
                    values,
                    one.sigma[facet, known],
                    own,
                )
            )
            initial.append(float(values[:2].mean()))
            own_names.append((place, name))
    rates = len(names)
    freedom = sum(len(values) for _, _, values, _, _ in curves) - len(curves) - 1 - rates
    if freedom < 1:
        return None

    def residuals(unknown: Float) -> Float:
        parts: list[Float] = []
        for number, (dose, bias, values, sigma, own) in enumerate(curves):
            exponent = unknown[0] * dose + (unknown[1 + own] * bias if own >= 0 else 0.0)
            parts.append((unknown[1 + rates + number] * np.exp(-exponent) - values) / sigma)
        return np.concatenate(parts)

    start = np.concatenate([np.zeros(1 + rates), initial])
    found = least_squares(residuals, start, x_scale="jac", method="trf", max_nfev=200)
    scatter = float(2 * found.cost / freedom)
    covariance = np.linalg.pinv(found.jac.T @ found.jac)[: 1 + rates, : 1 + rates] * max(1.0, scatter)
    told: tuple[dict[str, float], ...] = tuple({} for _ in regions)
    for (place, name), value in zip(own_names, found.x[1 + rates :], strict=True):
        told[place][name] = float(value)
    unit = np.concatenate([[dose_scale], np.full(rates, bias_scale)])
    return Decline(
        name=tuple(names),
        initial=told,
        dose_rate_a2=float(found.x[0]) / dose_scale,
        bias_rate_per_s=found.x[1 : 1 + rates] / bias_scale,
        covariance=covariance / np.outer(unit, unit),
        scatter=scatter,
    )


@one_blas_thread
def facet_order(*, active: Mapping[str, Any], control: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Rates, onsets and the order in which facets fade under bias, as plain values.

    `rank` 1 fades first; `rank_probability` that it is before the one that follows. `onset_s` is how long under bias
    it takes to lose a tenth by that alone, NaN where no decline is told from noise (two sigma); with its 95 %
    interval.
    """
    regions = [region_of(active)] + ([region_of(control)] if control is not None else [])
    found = fit_decline(regions)
    if found is None or not found.name:
        return {"found": False, "name": []}
    rates, sigmas = found.bias_rate_per_s, found.rate_sigma()
    order = sorted(range(len(rates)), key=lambda k: -rates[k])
    rank = [order.index(k) + 1 for k in range(len(rates))]
    probability = [
        found.order_probability(k, order[rank[k]]) if rank[k] < len(order) else math.nan for k in range(len(rates))
    ]
    loss = -math.log(1 - ONSET_LOSS)

    def after(rate: float) -> float:
        return loss / rate if rate > 0 else math.inf

    told = [bool(rate > 2 * sigma) for rate, sigma in zip(rates, sigmas, strict=True)]
    pairs = list(zip(rates.tolist(), sigmas.tolist(), told, strict=True))
    return {
        "found": True,
        "name": list(found.name),
        "rank": rank,
        "rank_probability": probability,
        "rate_per_s": rates.tolist(),
        "rate_per_s_sigma": sigmas.tolist(),
        "onset_s": [after(rate) if seen else math.nan for rate, _, seen in pairs],
        "onset_s_low": [after(rate + 1.96 * sigma) if seen else math.nan for rate, sigma, seen in pairs],
        "onset_s_high": [after(rate - 1.96 * sigma) if seen else math.nan for rate, sigma, seen in pairs],
        "initial": dict(zip(("active", "control"), found.initial, strict=False)),
        "dose_rate_a2": found.dose_rate_a2,
        "dose_rate_a2_sigma": math.sqrt(float(found.covariance[0, 0])),
        "scatter": found.scatter,
    }
