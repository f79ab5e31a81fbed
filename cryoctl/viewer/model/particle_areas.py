"""Particle areas over time, from events while the run goes on, from `/results/particles` afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cryoctl.events import Event
from cryoctl.runfile.exposure_table import number
from cryoctl.viewer.model.known import Particles

EVENT = "particles"
"""Kind of an event that tells areas as they are measured: its data have `name`, `area_m2` and, where they are known,
`area_m2_sigma` and `control`, each a value a particle."""


class LiveAreas:
    """Collects them; a particle may come late or be missing from a frame."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._rows: list[dict[str, tuple[float, float]]] = []
        self._control: dict[str, bool] = {}

    def event(self, event: Event) -> None:
        data = event.data
        if event.event != EVENT or not {"name", "area_m2"} <= set(data):
            return
        names = [str(name) for name in data["name"]]
        areas = [number(area) for area in data["area_m2"]]
        sigmas = [number(sigma) for sigma in data.get("area_m2_sigma") or [float("nan")] * len(areas)]
        for name, control in zip(names, data.get("control") or [False] * len(names), strict=False):
            self._control[name] = bool(control)
        self._times.append(number(data.get("time_s", event.time_s)))
        self._rows.append({name: (area, sigma) for name, area, sigma in zip(names, areas, sigmas, strict=False)})

    def particles(self) -> Particles | None:
        if not self._times:
            return None
        missing = (float("nan"), float("nan"))
        names = tuple(self._control)
        values = np.array([[row.get(name, missing) for row in self._rows] for name in names])
        return Particles(
            names=names,
            control=tuple(self._control.values()),
            time_s=np.array(self._times),
            area_m2=values[:, :, 0],
            sigma_m2=values[:, :, 1],
        )


def particles_of(told: Mapping[str, Any]) -> Particles | None:
    """Of `/results/particles` or the conclusion that it is made of; None where that has no areas over time."""
    if not {"area_m2", "time_s"} <= set(told):
        return None
    area = np.atleast_2d(_array(told["area_m2"]))
    sigma = np.atleast_2d(_array(told["area_m2_sigma"])) if "area_m2_sigma" in told else np.full(area.shape, np.nan)
    time_s = _array(told["time_s"])
    if area.shape[1] != len(time_s) or sigma.shape != area.shape:
        return None
    names = [str(name) for name in told.get("name", ())] or [str(k + 1) for k in range(len(area))]
    control = [bool(one) for one in np.atleast_1d(told.get("control", [False] * len(area)))]
    return Particles(names=tuple(names), control=tuple(control), time_s=time_s, area_m2=area, sigma_m2=sigma)


def _array(value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Lists of a journal may hold None or texts for what is no number."""
    if isinstance(value, Sequence):
        return np.array([[number(v) for v in one] if isinstance(one, list) else number(one) for one in value])
    return np.asarray(value, dtype=np.float64)
