"""Distances from the surface of a needle: a cone with a rounded apex."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.specimens.coated_particles import Edge
from cryoctl_simulators.world.piezo_needle import HiddenNeedle

Place = npt.NDArray[np.float64]
_SAMPLES = 65
_WIDEST_LOOK_M = 20e-6


def gap_to_sphere(needle: HiddenNeedle, apex_m: Place, middle_m: Place, radius_m: float) -> tuple[float, Place]:
    """As `gaps_to_spheres`, of one."""
    gaps, away = gaps_to_spheres(needle, apex_m, middle_m[None], np.array([radius_m]))
    return float(gaps[0]), away[0]


def gaps_to_spheres(needle: HiddenNeedle, apex_m: Place, middles_m: Place, radii_m: Place) -> tuple[Place, Place]:
    """Distances [n] of the surfaces (m), below 0 where they overlap, and unit vectors [n, 3] from needle to spheres."""
    axis, rounding = np.array(needle.axis), needle.outer_radius_m
    from_tip = middles_m - (apex_m + axis * rounding)
    along = from_tip @ axis
    aside = from_tip - along[:, None] * axis
    far = np.maximum(np.sqrt((aside**2).sum(axis=1)), 1e-15)
    direct = np.maximum(np.sqrt((from_tip**2).sum(axis=1)), 1e-15)
    sin, cos = math.sin(needle.half_angle_rad), math.cos(needle.half_angle_rad)
    before = (along * cos + far * sin <= 0)[:, None]
    distance = np.where(before[:, 0], direct, far * cos - along * sin)
    away = np.where(before, from_tip / direct[:, None], aside / far[:, None] * cos - axis * sin)
    return distance - rounding - radii_m, away


def gap_to_edge_m(
    needle: HiddenNeedle, apex_m: Place, edge: Edge, behind_m: float, between_m: tuple[float, float]
) -> float:
    """Distance (m) of the rounded apex from a sheet that ends `behind_m` behind the edge, between two heights."""
    x, y, z = (float(value) for value in apex_m + np.array(needle.axis) * needle.outer_radius_m)
    above = max(z - between_m[1], between_m[0] - z, 0.0)
    ahead = x + behind_m
    reach = min(max(abs(ahead), above, 2 * needle.outer_radius_m), _WIDEST_LOOK_M)
    lines = y + np.linspace(-reach, reach, _SAMPLES)
    beyond = np.maximum(ahead - edge.at(lines), 0.0)
    return math.sqrt(float((beyond**2 + (lines - y) ** 2).min()) + above**2) - needle.outer_radius_m
