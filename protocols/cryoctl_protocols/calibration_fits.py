"""Numbers of a calibration and their bounds at two sigma, from a few repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean_and_bound(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its bound at two sigma (of the sample; needs three values)."""
    mean = math.fsum(values) / len(values)
    variance = math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1)
    return mean, two_sigma(len(values) - 1) * math.sqrt(variance / len(values))


def two_sigma(freedom: int) -> float:
    """Student's factor that holds as much as two sigma of a normal law, for two degrees of freedom or more (Hill's
    series; 4 % short at two, 1 % at three)."""
    return 2 + 2.5 / freedom + 3.06 / freedom**2 + 2.86 / freedom**3


def height_and_bound(tilts_deg: Sequence[float], seen_m: Sequence[float]) -> tuple[float, float]:
    """Least squares of u = c + y cos a + z sin a on tilts symmetric about 0; z and its bound at two sigma (m)."""
    sines = [math.sin(math.radians(tilt)) for tilt in tilts_deg]
    cosines = [math.cos(math.radians(tilt)) for tilt in tilts_deg]
    count = len(seen_m)
    mean_cosine = math.fsum(cosines) / count
    even = [cosine - mean_cosine for cosine in cosines]
    lever = math.fsum(one * one for one in sines)
    z = math.fsum(s * u for s, u in zip(sines, seen_m, strict=True)) / lever
    y = math.fsum(e * u for e, u in zip(even, seen_m, strict=True)) / math.fsum(e * e for e in even)
    mean = math.fsum(seen_m) / count
    left = math.fsum((u - mean - y * e - z * s) ** 2 for u, e, s in zip(seen_m, even, sines, strict=True))
    return z, two_sigma(count - 3) * math.sqrt(left / (count - 3) / lever)
