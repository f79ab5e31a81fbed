"""From what each picture said of each particle to its course: areas, growth, breaking of its coating."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.particle_coating import Break, broken, swollen
from cryoctl.analysis.particle_follow import Followed, follow, is_blind
from cryoctl.analysis.particle_growth import Growth, growth
from cryoctl.analysis.particle_measure import RESOLVED, SECTORS, THRESHOLD, ModelArea, Seen, by_likelihood
from cryoctl.analysis.particle_segments import Labels, Segmenting

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

EDGE_PX = 0.1
"""How well the place of an edge is known whatever the noise."""
BESIDE_DEG = 20.0
UNSURE = 0.3
"""Areas with a larger relative sigma are left out."""
UNRELATED = 0.5
"""Pictures of which most find fewer of their predecessor's particles again are no sequence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """One particle over all pictures; arrays [picture], NaN where it was not measured, areas in squared pixels.

    `model` is the edge model of all its areas, or "threshold". `sigma_px2` is a picture's own uncertainty, `hidden_px2`
    that of what neighbours hide; `edge_px` how well the edge's place is known in all alike. `core_px2` only where the
    coating is `resolved`. `break_` is None where a break could not have been seen.
    """

    number: int
    y_px: Float
    x_px: Float
    area_px2: Float
    sigma_px2: Float
    hidden_px2: Float
    edge_px: float
    model: str
    resolved: bool
    core_px2: Float
    core_sigma_px2: Float
    touching: Bool
    growth: Growth | None
    break_: Break | None

    def total_sigma_px2(self) -> Float:
        common = np.hypot(self.hidden_px2, self.edge_px * 2 * np.sqrt(np.pi * self.area_px2))
        return np.hypot(self.sigma_px2, common)


def followed(
    pictures: Iterator[npt.ArrayLike] | Sequence[npt.ArrayLike], settings: Segmenting | None = None
) -> Iterator[tuple[Followed, Labels]]:
    """`follow` over all pictures [y, x] of one shape, with their labels."""
    before: Followed | None = None
    previous: npt.ArrayLike | None = None
    for picture in pictures:
        before, labels = follow(before, picture, previous, settings)
        previous = picture
        yield before, labels


def is_sequence(states: Sequence[Followed]) -> bool:
    """Whether each picture shows mostly what its predecessor did."""
    return len(states) < 2 or float(np.median([one.related for one in states[1:]])) >= UNRELATED


def courses(
    states: Sequence[Followed], time_s: Sequence[float], onset_s: float, settings: Segmenting | None = None
) -> list[Course]:
    """Courses of all particles that were whole in at least one picture, by their numbers."""
    chosen = settings if settings is not None else Segmenting()
    times = np.asarray(time_s, dtype=np.float64)
    by_number: dict[int, dict[int, Seen]] = {}
    for k, state in enumerate(states):
        for one in state.particles:
            by_number.setdefault(one.number, {})[k] = one
    blind = bool(states) and is_blind(states[0].way.smoothing_px, chosen)
    return [
        course
        for number, seen in sorted(by_number.items())
        if any(one.whole for one in seen.values())
        and (course := _course(number, seen, times, onset_s, blind)) is not None
    ]


def _course(number: int, seen: dict[int, Seen], times: Float, onset_s: float, blind: bool) -> Course | None:
    badness = _summed_badness(seen)
    by_rank = by_likelihood(badness)
    model = THRESHOLD if blind or not by_rank else by_rank[0]
    area, sigma, hidden, core, core_sigma = (np.full(times.size, np.nan) for _ in range(5))
    place = np.full((times.size, 2), np.nan)
    touching = np.zeros(times.size, dtype=bool)
    for k, one in seen.items():
        place[k] = one.y_px, one.x_px
        touching[k] = one.touching
        fit = one.fit(model)
        if fit is not None and fit.sigma_px < UNSURE * fit.area_px:
            area[k], sigma[k], hidden[k] = fit.area_px, fit.sigma_px, fit.hidden_px
            core[k], core_sigma[k] = fit.core_px, fit.core_sigma_px
    if not np.isfinite(area).any():
        return None
    resolved = model.startswith("coated-") and _is_resolved(badness)
    edge_px = _edge_px(seen, model, by_rank, badness)
    break_ = _break(seen, times, onset_s, resolved)
    unseen = float(np.hypot(np.nanmedian(hidden / area), _hidden_swelling(seen, break_)))
    return Course(
        number=number,
        y_px=place[:, 0],
        x_px=place[:, 1],
        area_px2=area,
        sigma_px2=sigma,
        hidden_px2=hidden,
        edge_px=edge_px,
        model=model,
        resolved=resolved,
        core_px2=core if resolved else np.full(times.size, np.nan),
        core_sigma_px2=core_sigma if resolved else np.full(times.size, np.nan),
        touching=touching,
        growth=growth(times, area, sigma, onset_s, edge_px, unseen),
        break_=break_,
    )


def _summed_badness(seen: dict[int, Seen]) -> dict[str, float]:
    """Over the pictures in which all models were tried; one that failed in some of them does not count."""
    most = max((len(one.fits) for one in seen.values()), default=0)
    full = [one for one in seen.values() if len(one.fits) > 2 or len(one.fits) == most]
    sums: dict[str, list[float]] = {}
    for one in full:
        for fit in one.fits:
            if math.isfinite(fit.badness):
                sums.setdefault(fit.model, []).append(fit.badness)
    tried = max((len(each) for each in sums.values()), default=0)
    return {model: float(sum(each)) for model, each in sums.items() if len(each) == tried}


def _is_resolved(badness: dict[str, float]) -> bool:
    coated = [value for model, value in badness.items() if model.startswith("coated-")]
    plain = [value for model, value in badness.items() if not model.startswith("coated-")]
    return bool(coated) and (not plain or min(coated) < min(plain) - RESOLVED)


def _edge_px(seen: dict[int, Seen], model: str, by_rank: list[str], badness: dict[str, float]) -> float:
    """EDGE_PX, or half of what another description as good would move the edge by: of the threshold's contour the best
    edge model, of a model the next one if it is nearly as likely."""
    if model == THRESHOLD:
        other = by_rank[0] if by_rank else None
    else:
        near = [one for one in by_rank[1:] if badness[one] < badness[model] + RESOLVED]
        other = near[0] if near else None
    if other is None:
        return EDGE_PX
    offsets = [_apart(one.fit(model), one.fit(other)) for one in seen.values()]
    known = [value for value in offsets if math.isfinite(value)]
    return max(EDGE_PX, float(np.median(known)) / 2) if known else EDGE_PX


def _apart(one: ModelArea | None, other: ModelArea | None) -> float:
    """Distance between the edges of two areas."""
    if one is None or other is None or min(one.area_px, other.area_px) <= 0:
        return float("nan")
    return abs(math.sqrt(one.area_px / math.pi) - math.sqrt(other.area_px / math.pi))


def _break(seen: dict[int, Seen], times: Float, onset_s: float, resolved: bool) -> Break | None:
    """The clearer of a gap in the ring and a swelling of the outline; that nothing swells says nothing of a coating
    that is not resolved."""
    nothing = (float("nan"),) * SECTORS
    shapes = np.array([seen[k].shape or nothing if k in seen else nothing for k in range(times.size)])
    rings = np.array([seen[k].ring or nothing if k in seen else nothing for k in range(times.size)])
    sigmas = np.array([seen[k].ring_sigma or nothing if k in seen else nothing for k in range(times.size)])
    swelling = swollen(times - onset_s, shapes)
    gap = broken(times - onset_s, rings, sigmas) if resolved else None
    if swelling is not None and swelling.clear > (gap.clear if gap is not None else 0.0):
        return swelling
    return gap


def _hidden_swelling(seen: dict[int, Seen], found: Break | None) -> float:
    """Relative sigma of an area whose outline swells beside a neighbour: behind it half as far again may lie."""
    shape = np.array(seen[max(seen)].shape)
    if found is None or not found.swollen or not shape.size:
        return 0.0
    each = 360.0 / SECTORS
    away = np.abs((np.arange(SECTORS) * each + each / 2 - found.angle_deg + 180.0) % 360.0 - 180.0)
    beside = np.isnan(shape) & (away < found.width_deg / 2 + BESIDE_DEG)
    return float(beside.sum()) / SECTORS * found.swollen / math.sqrt(2)
