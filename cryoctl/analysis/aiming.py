"""Where the apex of a needle has to go so that it meets a particle, and nothing else before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryoctl.analysis.contact import Scene, scenes_of
from cryoctl.analysis.needle_view import Side, turned_back

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_HALO_PX = 3
"""About a bright particle, in which film is not told from its tails."""
_HIDDEN_PX = 3
"""So far below a particle's edge film may go on as it goes on before it."""
_FILM = 0.5
"""Of the film's brightness: what is fainter is the halo of the probe's tails."""
_TAILS_PX = 2
"""Of a needle's outline, which its oxide is part of and the probe's tails are not."""
_OFF = 0.7
"""Of the particle's half width: no further from its middle is it aimed at."""
_REACH_PX = 40
"""So much of the needle behind its apex may meet something first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """`gap_px` along the needle from the apex to where the particle begins, `clear_px` from the needle to whatever is
    nearest to it, `aside_px` how far the apex lies aside of where it should go, along the rows or columns of the
    picture (positive: at larger ones). (`target_y_px`, `target_x_px`) is the particle's middle, from the picture's.

    `ahead_px`: by so much the particle is met before film or another one, where it should go; below 0 it is not.
    """

    found: bool
    gap_px: float
    clear_px: float
    aside_px: float
    target_y_px: float
    target_x_px: float
    ahead_px: float


def aim(
    picture: npt.ArrayLike,
    side: Side = "right",
    ahead_px: float = 2.0,
    loose_px: float = 0.0,
    reach_px: float = math.inf,
) -> Aim:
    """How a needle stands before the particle nearest to the middle of a picture [y, x] that it meets first.

    Args:
        reach_px: no further on can it go; particles beyond are left alone, where there are nearer ones.
        ahead_px: by how much, in the picture; where no particle stands out so far, the one that stands out most.
        loose_px: so far aside of where it is aimed the needle may come on, and has to meet the particle first there.
    """
    scenes = scenes_of(picture, side, middle=True)
    scenes = [one for one in scenes if _onward_px(one) <= reach_px] or scenes
    if not scenes:
        nothing = math.nan
        return Aim(
            found=False,
            gap_px=nothing,
            clear_px=nothing,
            aside_px=nothing,
            target_y_px=nothing,
            target_x_px=nothing,
            ahead_px=nothing,
        )
    best = (-math.inf, 0.0, scenes[0])
    for one in scenes:
        ahead, off = _best_way(one, ahead_px, loose_px)
        if ahead > best[0]:
            best = (ahead, off, one)
        if ahead >= ahead_px:
            break
    ahead, off, scene = best
    columns = np.flatnonzero(scene.particle.any(axis=0))
    middle = _middle_row(scene)
    height, width = scene.particle.shape
    y_px, x_px = turned_back(middle - (height - 1) / 2, (float(columns[0] + columns[-1]) - (width - 1)) / 2, side)
    clear = 0.0
    if not scene.parts.overlap:
        away = np.asarray(ndimage.distance_transform_edt(~scene.parts.specimen), dtype=np.float64)
        clear = max(0.0, float(away[scene.parts.needle].min()) - 1.0)
    return Aim(
        found=True,
        gap_px=_onward_px(scene),
        clear_px=clear,
        aside_px=float(scene.apex[0]) - middle - off,
        target_y_px=y_px,
        target_x_px=x_px,
        ahead_px=ahead,
    )


def _best_way(scene: Scene, enough_px: float, loose_px: float) -> tuple[float, float]:
    """(by how much the particle is met first, how far off its middle the apex comes on): the least off that is enough,
    else the best."""
    outline, middle = _outline(scene), _middle_row(scene)
    furthest_px = math.floor(_OFF * float(np.count_nonzero(scene.particle.any(axis=1))) / 2)
    particle, film = _foremost(scene.particle), _foremost(_film(scene))
    loose = math.ceil(loose_px)
    ahead = np.full(2 * (furthest_px + loose) + 1, -math.inf)
    for k in range(len(ahead)):
        rows = np.rint(middle + k - furthest_px - loose + outline[:, 0]).astype(int)
        inside = (rows >= 0) & (rows < len(particle))
        columns = outline[inside, 1]
        to_particle = float((columns - particle[rows[inside]]).min(initial=math.inf))
        to_film = float((columns - film[rows[inside]]).min(initial=math.inf))
        if math.isfinite(to_particle):
            ahead[k] = min(to_film - to_particle, 1e6)
    worst = np.lib.stride_tricks.sliding_window_view(ahead, 2 * loose + 1).min(axis=1)
    nearest = np.argsort(np.abs(np.arange(len(worst)) - furthest_px), kind="stable")
    enough = nearest[worst[nearest] >= enough_px]
    chosen = int(enough[0]) if enough.size else int(nearest[worst[nearest].argmax()])
    return float(worst[chosen]), float(chosen - furthest_px)


def _film(scene: Scene) -> Bool:
    """Film and other particles; film also where a particle and its tails hide how it goes on."""
    smooth = np.asarray(ndimage.gaussian_filter(scene.parts.picture, 1.0), dtype=np.float64) - scene.parts.vacuum
    bright = np.asarray(ndimage.binary_dilation(scene.particle, iterations=_HALO_PX), dtype=bool)
    rest = scene.parts.specimen & ~bright
    faint = rest & ~np.asarray(ndimage.binary_dilation(scene.others, iterations=2 * _HALO_PX), dtype=bool)
    level = float(np.median(smooth[faint])) if faint.any() else 0.0
    film = np.asarray(rest & (smooth > _FILM * level))
    onward = np.asarray(ndimage.binary_dilation(film, iterations=_HALO_PX + _HIDDEN_PX), dtype=bool)
    return film | (onward & bright)


def _onward_px(scene: Scene) -> float:
    """From the apex to the column where the particle begins."""
    return float(scene.apex[1]) - float(np.flatnonzero(scene.particle.any(axis=0))[-1])


def _middle_row(scene: Scene) -> float:
    rows = np.flatnonzero(scene.particle.any(axis=1))
    return (float(rows[0]) + float(rows[-1])) / 2


def _outline(scene: Scene) -> Float:
    """(row, column) of the foremost of the needle in each of its rows, from the apex."""
    body = np.asarray(ndimage.binary_erosion(scene.parts.needle, iterations=_TAILS_PX, border_value=1), dtype=bool)
    body = body if body.any() else scene.parts.needle
    rows = np.flatnonzero(body.any(axis=1))
    columns = body.argmax(axis=1)[rows]
    near = columns <= columns.min() + _REACH_PX
    placed = np.column_stack([rows[near] - scene.apex[0], columns[near] - scene.apex[1]])
    return np.asarray(placed, dtype=np.float64)


def _foremost(mask: Bool) -> Float:
    """The last column of each row, -inf where there is none."""
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(mask.any(axis=1), last.astype(np.float64), -math.inf), dtype=np.float64)
