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

_BRIGHTER = 2.0
"""Than the particle: what of the needle is its metal, without the halo of the probe's tails."""
_AHEAD_PX = 4.0
"""By so much the particle has to be met before the film."""
_OFF = 0.7
"""Of the particle's half width: no further from its middle is it aimed at."""
_REACH_PX = 40
"""So much of the needle behind its apex may meet something first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """`gap_px` along the needle from the apex to where the particle begins, `clear_px` from the needle to whatever is
    nearest to it, `aside_px` how far the apex lies aside of where it should go, along the rows or columns of the
    picture (positive: at larger ones). (`target_y_px`, `target_x_px`) is the particle's middle, from the picture's.

    `blocked`: wherever the needle goes along its axis, film or another particle is met before the particle.
    """

    found: bool
    gap_px: float
    clear_px: float
    aside_px: float
    target_y_px: float
    target_x_px: float
    blocked: bool


def aim(picture: npt.ArrayLike, side: Side = "right") -> Aim:
    """How a needle stands before the particle nearest to the middle of a picture [y, x] that it can meet first."""
    scenes = scenes_of(picture, side, middle=True)
    if not scenes:
        nothing = math.nan
        return Aim(
            found=False,
            gap_px=nothing,
            clear_px=nothing,
            aside_px=nothing,
            target_y_px=nothing,
            target_x_px=nothing,
            blocked=False,
        )
    ways = ((scene, _free_way(scene)) for scene in scenes)
    scene, off = next((one for one in ways if one[1] is not None), (scenes[0], None))
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
        gap_px=float(scene.apex[1]) - float(columns[-1]),
        clear_px=clear,
        aside_px=float(scene.apex[0]) - middle - (off or 0.0),
        target_y_px=y_px,
        target_x_px=x_px,
        blocked=off is None,
    )


def _free_way(scene: Scene) -> float | None:
    """How far off the particle's middle the apex may come on so that it meets the particle first; None: nowhere."""
    outline, middle = _outline(scene), _middle_row(scene)
    furthest_px = math.floor(_OFF * float(np.count_nonzero(scene.particle.any(axis=1))) / 2)
    others = scene.parts.specimen & ~np.asarray(ndimage.binary_dilation(scene.particle, iterations=3), dtype=bool)
    particle, film = _foremost(scene.particle), _foremost(np.asarray(others))
    offs = sorted(range(-furthest_px, furthest_px + 1), key=abs)
    for off in offs:
        rows = np.rint(middle + off + outline[:, 0]).astype(int)
        inside = (rows >= 0) & (rows < len(particle))
        columns = outline[inside, 1]
        to_particle = float((columns - particle[rows[inside]]).min(initial=math.inf))
        to_film = float((columns - film[rows[inside]]).min(initial=math.inf))
        if to_particle + _AHEAD_PX < to_film:
            return float(off)
    return None


def _middle_row(scene: Scene) -> float:
    rows = np.flatnonzero(scene.particle.any(axis=1))
    return (float(rows[0]) + float(rows[-1])) / 2


def _outline(scene: Scene) -> Float:
    """(row, column) of the foremost metal in each of its rows, from the apex."""
    smooth = np.asarray(ndimage.gaussian_filter(scene.parts.picture, 1.0), dtype=np.float64)
    thick = scene.parts.vacuum + _BRIGHTER * (float(np.median(smooth[scene.particle])) - scene.parts.vacuum)
    metal = scene.parts.needle & (smooth > thick)
    if not metal.any():
        metal = scene.parts.needle
    rows = np.flatnonzero(metal.any(axis=1))
    columns = metal.argmax(axis=1)[rows]
    near = columns <= columns.min() + _REACH_PX
    placed = np.column_stack([rows[near] - scene.apex[0], columns[near] - scene.apex[1]])
    return np.asarray(placed, dtype=np.float64)


def _foremost(mask: Bool) -> Float:
    """The last column of each row, -inf where there is none."""
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(mask.any(axis=1), last.astype(np.float64), -math.inf), dtype=np.float64)
