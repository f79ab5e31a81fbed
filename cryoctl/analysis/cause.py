"""What made facets fade: nothing, the beam, the bias, or both, each with its probability.

Four hypotheses are weighed by their marginal likelihoods on the intensities of the biased region and of the unbiased
control. Under the beam all facets, of both regions, go as exp(-a D) with the dose D; under the bias each biased facet
goes as exp(-b T) with the seconds under bias T, whether or not the beam was on meanwhile: so the control and the
blanked intervals tell the two apart. The hypotheses are equally likely before. Of an effect that a hypothesis has, the
loss at the end of the series is evenly likely in its logarithm from `LEAST_LOSS` to `MOST_LOSS`; the facets' own rates
scatter about the common one by a factor e^`SPREAD` (one sigma).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.analysis.facet_decline import Region, fit_decline, region_of

Float = npt.NDArray[np.float64]

CAUSES = ("none", "beam", "bias", "both")
LEAST_LOSS, MOST_LOSS = 0.07, 3.0
"""Exponents: 0.07 leaves 93 % of the intensity, 3 leaves 5 %."""
SPREAD = 0.7
_GRID = 48
_OWN_GRID = 72
_FAINTEST = 1e-3
"""Of the largest intensity measured; no facet is taken to have begun with less."""
_UNNOTICED_REL = 0.003
"""Sigma of what a picture's focus and place may do to an intensity beyond its counting noise, relative."""


@one_blas_thread
def weigh_causes(*, active: Mapping[str, Any], control: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Probabilities in the order of `names`, and the most probable one as `name`.

    `found` is false where there is too little to tell, with even probabilities.
    """
    regions = [region_of(active)] + ([region_of(control)] if control is not None else [])
    found = probabilities(regions)
    if found is None:
        return {"found": False, "name": "unknown", "names": list(CAUSES), "probability": [0.25] * 4}
    name = CAUSES[int(np.argmax(found))]
    return {"found": True, "name": name, "names": list(CAUSES), "probability": [float(one) for one in found]}


def probabilities(regions: Sequence[Region]) -> Float | None:
    """Of none, beam, bias, both; None where nothing was measured twice."""
    fitted = fit_decline(regions)
    if fitted is None:
        return None
    wider = math.sqrt(max(1.0, fitted.scatter))
    dose_end = max(float(one.dose_e_per_a2.max()) for one in regions)
    bias_end = max(float(one.bias_s.max()) for one in regions)
    losses = np.exp(np.linspace(math.log(LEAST_LOSS), math.log(MOST_LOSS), _GRID))
    by_beam = np.concatenate([[0.0], losses]) / max(dose_end, 1e-12)
    own = np.exp(np.linspace(math.log(LEAST_LOSS) - 3 * SPREAD, math.log(MOST_LOSS) + 3 * SPREAD, _OWN_GRID))
    by_bias = np.concatenate([[0.0], own]) / max(bias_end, 1e-12)
    # Rows: the common bias loss, 0 first; columns: a facet's own. Each row sums to 1.
    away = np.log(own)[None, :] - np.log(losses)[:, None]
    scattered = np.exp(-0.5 * (away / SPREAD) ** 2)
    weights = np.zeros((_GRID + 1, _OWN_GRID + 1))
    weights[0, 0] = 1.0
    weights[1:, 1:] = scattered / scattered.sum(axis=1, keepdims=True)
    total = np.zeros((len(by_beam), _GRID + 1))
    for region in regions:
        biased = bool(region.bias_s.max(initial=0.0) > 0)
        for facet in range(len(region.name)):
            known = region.known(facet)
            if known.sum() < 2:
                continue
            logs = _log_likelihoods(region, facet, known, by_beam, by_bias if biased else by_bias[:1], wider)
            if biased:
                most = logs.max(axis=1, keepdims=True)
                total += most + np.log(np.maximum(np.exp(logs - most) @ weights.T, 1e-300))
            else:
                total += logs
    relative = np.exp(total - total.max())
    evidence = np.array(
        [relative[0, 0], relative[1:, 0].mean(), relative[0, 1:].mean(), relative[1:, 1:].mean()], dtype=np.float64
    )
    return evidence / evidence.sum()


def _log_likelihoods(
    region: Region, facet: int, known: npt.NDArray[np.bool_], by_beam: Float, by_bias: Float, wider: float
) -> Float:
    """[beam rate, bias rate] of one facet, its initial intensity integrated over, evenly likely in its logarithm: else
    what falls the most would be the likelier the less the pictures say."""
    values = region.intensity[facet, known]
    sigma = np.hypot(region.sigma[facet, known] * wider, _UNNOTICED_REL * float(np.abs(values).max()))
    weight = sigma**-2.0
    left = np.exp(-by_beam[:, None] * region.dose_e_per_a2[known])
    right = np.exp(-by_bias[:, None] * region.bias_s[known])
    norm2 = (left**2 * weight) @ (right**2).T
    met = (left * (weight * values)) @ right.T
    # chi^2 at the best initial intensity, the width of the integral over it, and how likely it is there.
    chi2, best = float(weight @ values**2) - met**2 / norm2, met / norm2
    at_best = np.log(np.maximum(best, _FAINTEST * float(np.abs(values).max())))
    return np.asarray(-0.5 * chi2 - 0.5 * np.log(norm2) - at_best, dtype=np.float64)
