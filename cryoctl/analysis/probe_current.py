"""What a small voltage drives through a needle before and after it touches, where the contact conducts electrons.

Pictures decide on contact; this stands beside them. The difference of both currents is free of the source's offset, for
both are read in one range at one voltage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cryoctl.analysis.bias_trace import BLANKED, BiasTrace
from cryoctl.analysis.charge import noise_sigma_a

_SIGMAS = 5.0
_LIMITED = 0.5
"""Share of the samples that a limit of the source holds, from which on the current is but a lower bound."""
_LEAST = 3


def probed(*, trace: BiasTrace, settled_s: float) -> dict[str, Any]:
    """Mean current with the beam blanked.

    Args:
        settled_s: run time from which on the source and what charges have settled.

    Returns:
        `current_a`, `current_a_sigma` (one sigma, noise alone), `voltage_v`, `limited`; NaN and False where fewer than
        three samples are left.
    """
    rows = trace.where((trace.beam_open == BLANKED) & (trace.time_s >= settled_s))
    count = len(rows)
    if count < _LEAST:
        return {"current_a": math.nan, "current_a_sigma": math.nan, "voltage_v": math.nan, "limited": False}
    return {
        "current_a": float(rows.current_a.mean()),
        "current_a_sigma": noise_sigma_a(rows.current_a) / math.sqrt(count),
        "voltage_v": float(rows.voltage_v.mean()),
        "limited": bool(np.mean(rows.in_compliance) >= _LIMITED),
    }


def probe_evidence(*, apart: Mapping[str, Any], touching: Mapping[str, Any]) -> dict[str, Any]:
    """Both of `probed`, before and after the touch.

    Returns:
        `current_a`, by how much it changed, and its sigma; `conducts` where it differs from 0 by five sigma, or where a
        limit of the source holds it (`limited`: the change is a lower bound then); `message`.
    """
    change_a = float(touching["current_a"]) - float(apart["current_a"])
    sigma_a = math.hypot(float(touching["current_a_sigma"]), float(apart["current_a_sigma"]))
    known = math.isfinite(change_a)
    limited = known and bool(touching["limited"]) and not bool(apart["limited"])
    conducts = known and (limited or abs(change_a) > _SIGMAS * sigma_a)
    if not known:
        message = "the source gave no samples to tell a current from"
    elif limited:
        message = "the probe is held by its current limit"
    elif conducts:
        message = f"{change_a * 1e12:.3g} pA more than before the touch"
    else:
        message = f"no current beyond {_SIGMAS * sigma_a * 1e12:.2g} pA at {float(touching['voltage_v']):.2g} V"
    return {
        "conducts": conducts,
        "limited": limited,
        "current_a": change_a,
        "current_a_sigma": sigma_a,
        "message": message,
    }
