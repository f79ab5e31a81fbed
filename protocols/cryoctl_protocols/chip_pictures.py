"""Lattice pictures of the active and of the unbiased region of a cell, found by their facets, at the same dose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoctl.errors import StepLost
from cryoctl.protocol import InstrumentFacts
from cryoctl.steps import Compute, Expose, FrameRef
from cryoctl_protocols import blocks
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.chip_recipe import ChipBiasingParameters
from cryoctl_protocols.dose_plan import dwell_s
from cryoctl_protocols.placing import Matrix, inverse_shift_matrix

FACETS = "analysis.facets:facet_series"
DISPLACED = "analysis.facet_drift:displaced"

ACTIVE, CONTROL = "active", "control"
_SIGMA_M = 100e-9
"""A third of how far off a region may be: all its pictures by as much, as each is told where it lies from the first."""
_DRIFT_M_PER_S = 2e-10
_FOLLOWED_FROM_M = 8e-10
"""What has drifted by more is brought back to the middle."""


@dataclass(slots=True, kw_only=True)
class Region:
    """`x_m y_m` is where it is believed to lie, `off_*_m` how far from there it is scanned, to have its content."""

    name: str
    x_m: float
    y_m: float
    off_x_m: float = 0.0
    off_y_m: float = 0.0
    on_x_m: float = 0.0
    on_y_m: float = 0.0
    """Where its pictures lie on the specimen, from that of the first one: what the ledger is told."""
    dose_e_per_a2: float = 0.0
    last_m: tuple[float, float] = (0.0, 0.0)
    """(y, x) of the content in the field that the next picture will have, as the last one showed it."""
    seen: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Facets with the directions of their fringes."""
    frames: list[FrameRef] = field(default_factory=list[FrameRef])
    times_s: list[float] = field(default_factory=list[float])
    doses_e_per_a2: list[float] = field(default_factory=list[float])
    """Received until the middle of each picture."""
    biased_s: list[float] = field(default_factory=list[float])
    offs_m: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """(y, x) off where it was believed, of each picture."""

    def moved_m(self) -> list[list[float]]:
        """How far (y, x) the field of each picture was moved since the first."""
        y_m, x_m = self.offs_m[0]
        return [[one_y - y_m, one_x - x_m] for one_y, one_x in self.offs_m]


class ChipPictures:
    """Takes them and keeps what belongs to each."""

    def __init__(self, recipe: ChipBiasingParameters, facts: InstrumentFacts) -> None:
        self._recipe = recipe
        self._facts = facts
        self._matrix: Matrix = inverse_shift_matrix(facts)
        self.current_a = math.nan
        self.lag_m = (0.0, 0.0)
        """Where the stage stands, from its reading."""
        self.active = Region(name=ACTIVE, x_m=recipe.x_m, y_m=recipe.y_m)
        control = recipe.control
        self.control = Region(name=CONTROL, x_m=recipe.x_m + control.dx_m, y_m=recipe.y_m + control.dy_m)

    @property
    def regions(self) -> tuple[Region, Region]:
        return (self.active, self.control)

    def wanted(self) -> list[dict[str, Any]]:
        """The recipe's facets as analyses take them."""
        return [
            {"name": one.name, "spacing_m": one.spacing_m, "angle_deg": one.angle_deg} for one in self._recipe.facets
        ]

    def find(self, region: Region) -> Block[tuple[str, ...]]:
        """Bring the facets to the middle; gives those that were not seen, at the place where most were."""
        pictures = self._recipe.pictures
        step_m = 0.6 * pictures.pixel_size_m * min(pictures.search_shape)
        start = (region.off_x_m, region.off_y_m)
        best: Mapping[str, Any] = {"name": [], "missing": [one.name for one in self._recipe.facets]}
        there = start
        for look in range(pictures.looks):
            right, up = _spiral(look)
            region.on_x_m, region.on_y_m = right * step_m, up * step_m
            region.off_x_m, region.off_y_m = start[0] + region.on_x_m, start[1] + region.on_y_m
            frame = yield from self._take(region, "search", pictures.search_shape)
            found = yield from Compute(
                function=FACETS,
                frames=(frame,),
                arguments={"facets": self.wanted(), "pixel_size_m": pictures.pixel_size_m},
            )
            if len(found.values["name"]) > len(best["name"]):
                best, there = found.values, (region.off_x_m, region.off_y_m)
            if not best["missing"]:
                break
        region.off_x_m, region.off_y_m = there
        if best["name"]:
            region.off_x_m += _middle(best["x_m"])
            region.off_y_m += _middle(best["y_m"])
            columns = (best[column] for column in ("name", "spacing_m", "angle_deg"))
            region.on_x_m, region.on_y_m = region.off_x_m - start[0], region.off_y_m - start[1]
            region.seen = [
                {"name": name, "spacing_m": spacing_m, "angle_deg": angle_deg}
                for name, spacing_m, angle_deg in zip(*columns, strict=True)
            ]
        return tuple(best["missing"])

    def take(self, region: Region, time_s: float, biased_s: float) -> Block[None]:
        """A record picture, brought back to the middle by what the first one shows.

        Args:
            time_s: of the run, now.
            biased_s: seconds under bias until now.
        """
        pictures = self._recipe.pictures
        before = region.dose_e_per_a2
        frame = yield from self._take(region, "record", pictures.shape)
        region.times_s.append(time_s)
        region.doses_e_per_a2.append((before + region.dose_e_per_a2) / 2)
        region.biased_s.append(biased_s)
        region.offs_m.append((region.off_y_m, region.off_x_m))
        region.frames.append(frame)
        if len(region.frames) == 1:
            return
        seen = yield from Compute(
            function=DISPLACED,
            frames=(region.frames[0], frame),
            arguments={
                "facets": region.seen,
                "pixel_size_m": pictures.pixel_size_m,
                "near_m": list(region.last_m),
            },
        )
        if not seen.values["found"]:
            return
        x_m, y_m = float(seen.values["x_m"]), float(seen.values["y_m"])
        region.last_m = (y_m, x_m)
        if math.hypot(x_m, y_m) > _FOLLOWED_FROM_M:
            region.off_x_m += x_m
            region.off_y_m += y_m
            region.last_m = (0.0, 0.0)

    def overview(self) -> Block[tuple[float, float]]:
        """Scan the active region widely, for the current that the beam makes; when it began, and for how long (s)."""
        wide = self._recipe.beam_current
        exposure = self._exposure(self.active, "view", wide.shape, wide.pixel_size_m, wide.dose_e_per_a2)
        done = yield from exposure
        self.active.dose_e_per_a2 += done.dose_e_per_a2
        return done.started_s, done.duration_s

    def _take(self, region: Region, kind: str, shape: tuple[int, int]) -> Block[FrameRef]:
        pictures = self._recipe.pictures
        exposure = self._exposure(region, kind, shape, pictures.pixel_size_m, pictures.dose_e_per_a2)
        done, frame = yield from blocks.take(exposure)
        region.dose_e_per_a2 += done.dose_e_per_a2
        if frame is None:
            raise StepLost(f"{kind} picture of the {region.name} region: none came")
        return frame

    def _exposure(self, region: Region, kind: str, shape: tuple[int, int], pixel_m: float, dose: float) -> Expose:
        shortest, longest = self._facts.dwell_range_s
        dwell = dwell_s(dose, pixel_size_m=pixel_m, scans=1, current_a=self.current_a)
        wanted_x = region.x_m + region.off_x_m - self._recipe.x_m - self.lag_m[0]
        wanted_y = region.y_m + region.off_y_m - self._recipe.y_m - self.lag_m[1]
        a, b, c, d = self._matrix
        return Expose(
            kind=kind,
            area=region.name,
            target=region.name,
            x_m=region.x_m + region.on_x_m,
            y_m=region.y_m + region.on_y_m,
            shift_x_m=a * wanted_x + b * wanted_y,
            shift_y_m=c * wanted_x + d * wanted_y,
            defocus_m=0.0,
            shape=shape,
            pixel_size_m=pixel_m,
            dwell_s=min(max(dwell, shortest), longest),
            detector=self._recipe.pictures.detector,
            position_sigma_m=_SIGMA_M,
            drift_bound_m_per_s=_DRIFT_M_PER_S,
            planned_dose_e_per_a2=dose,
        )


def _middle(places_m: list[float]) -> float:
    return (min(places_m) + max(places_m)) / 2


def _spiral(number: int) -> tuple[int, int]:
    """(right, up) of the places around the first, the nearest before."""
    around = sorted(((x, y) for x in range(-5, 6) for y in range(-5, 6)), key=lambda at: (at[0] ** 2 + at[1] ** 2, at))
    return around[number]
