"""Particles that grow push their neighbours on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_ROUNDS = 3
_TOUCHING = 1e-9


def pushed_apart(places_m: FloatArray, radii_m: FloatArray, firm: Sequence[bool]) -> FloatArray:
    """Middles [particle, 3] after those that overlap have parted along the line between them.

    Of two the one that is `firm` stays; what was pushed pushes on.
    """
    places = places_m.copy()
    for _ in range(_ROUNDS):
        pairs = _overlapping(places, radii_m)
        for one, other in pairs:
            fixed, pushed = (one, other) if firm[one] or not firm[other] else (other, one)
            way = places[pushed] - places[fixed]
            places[pushed] = places[fixed] + way / float(np.linalg.norm(way)) * (radii_m[one] + radii_m[other])
        if not pairs:
            break
    return places


def _overlapping(places: FloatArray, radii: FloatArray) -> list[tuple[int, int]]:
    far = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=2))
    met = far < (radii[:, None] + radii[None]) * (1 - _TOUCHING)
    return [(int(one), int(other)) for one, other in np.argwhere(np.triu(met, 1))]
