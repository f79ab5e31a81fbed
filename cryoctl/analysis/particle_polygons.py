"""Areas of hand-drawn polygons and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]

HAND_PX = 1.0
"""How well a person sets a corner, in each direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polygon:
    """Corners (x, y) in pixels of picture `frame`; (0, 0) is the outer corner of the first pixel, whose centre lies at
    (0.5, 0.5). The last corner joins the first."""

    name: str
    frame: int
    points: tuple[tuple[float, float], ...]

    def area(self) -> tuple[float, float]:
        """Squared pixels and sigma, each corner set to HAND_PX."""
        x, y = np.asarray(self.points, dtype=np.float64).T
        ahead_x, ahead_y = np.roll(x, -1), np.roll(y, -1)
        behind_x, behind_y = np.roll(x, 1), np.roll(y, 1)
        twice = float((x * ahead_y - ahead_x * y).sum())
        slopes = np.hypot(ahead_y - behind_y, ahead_x - behind_x) / 2
        return abs(twice) / 2, HAND_PX * float(np.sqrt((slopes**2).sum()))

    def centre(self) -> tuple[float, float]:
        """Mean (y, x) of the corners, in pixels counted from the first pixel's centre."""
        x, y = np.asarray(self.points, dtype=np.float64).T
        return float(y.mean()) - 0.5, float(x.mean()) - 0.5


def check_polygons(polygons: Sequence[Polygon], frames: int, shape: tuple[int, int]) -> None:
    """Raises `BadInput` for the first polygon that has no area, crosses itself, or lies outside the pictures, for two
    of one name in one picture, and for two in one picture that cross each other."""
    if not polygons:
        raise BadInput("--polygons: holds no polygon; draw at least one")
    names: set[tuple[str, int]] = set()
    for one in polygons:
        who = f"--polygons: {one.name[:40]!r} in frame {one.frame}"
        if not 0 <= one.frame < frames:
            raise BadInput(f"{who}: the stack has the frames 0 to {frames - 1}; correct its frame")
        if (one.name, one.frame) in names:
            raise BadInput(f"{who}: there twice; give each polygon of a frame its own name")
        names.add((one.name, one.frame))
        points = np.asarray(one.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[0] < 3 or not np.isfinite(points).all():
            raise BadInput(f"{who}: found {len(one.points)} corners, at least 3 finite ones [x, y] are needed")
        ny, nx = shape
        off = (points < 0).any(axis=1) | (points[:, 0] > nx) | (points[:, 1] > ny)
        if off.any():
            x, y = points[int(off.argmax())]
            raise BadInput(
                f"{who}: its corner ({x:g}, {y:g}) lies outside the picture of {nx} x {ny} pixels; redraw it"
            )
        if _crosses_itself(points):
            raise BadInput(f"{who}: its sides cross each other; redraw it as one closed line around the particle")
        if not one.area()[0] > 0:
            raise BadInput(f"{who}: its corners lie on one line; redraw it around the particle")
    for k, one in enumerate(polygons):
        for other in polygons[k + 1 :]:
            if one.frame == other.frame and _cross(np.asarray(one.points), np.asarray(other.points)):
                raise BadInput(
                    f"--polygons: {one.name[:40]!r} and {other.name[:40]!r} cross in frame {one.frame}; "
                    "redraw them side by side"
                )


def _sides(points: Float) -> tuple[Float, Float]:
    return points, np.roll(points, -1, axis=0)


def _meets(a: Float, b: Float, c: Float, d: Float) -> npt.NDArray[np.bool_]:
    """Which sides [a to b] properly cross which sides [c to d]."""

    def side(p: Float, q: Float, r: Float) -> Float:
        return (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])

    a, b, c, d = a[:, None], b[:, None], c[None], d[None]
    return (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)


def _crosses_itself(points: Float) -> bool:
    start, end = _sides(points)
    if bool(_meets(start, end, start, end).any()):
        return True
    corners = [tuple(point) for point in points.tolist()]
    return len(set(corners)) < len(corners)


def _cross(one: Float, other: Float) -> bool:
    return bool(_meets(*_sides(one), *_sides(other)).any())
