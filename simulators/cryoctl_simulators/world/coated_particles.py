"""Coated particles on a half-cut grid, in the world: seen, irradiated, touched by a needle and lithiated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.constants import elementary_charge

from cryoctl.interfaces.truth import VolumeGrid
from cryoctl_simulators.optics.edx import EdxFrame
from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.optics.layered_picture import Layer, scattered_share
from cryoctl_simulators.optics.rounded_shapes import overlap_of_circles
from cryoctl_simulators.settings import EdxSettings, ImageDetectorSettings
from cryoctl_simulators.specimens.coated_particles import (
    CoatedParticlesParameters,
    HalfGrid,
    Particle,
)
from cryoctl_simulators.specimens.phases import ELEMENTS
from cryoctl_simulators.world import particle_cell, particle_truth
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.detector_physics import edx_detector, haadf_detector
from cryoctl_simulators.world.dose_truth import Patch
from cryoctl_simulators.world.lithiation import Reaction, area_ratio, reacted
from cryoctl_simulators.world.needle_shape import gap_to_edge_m, gap_to_sphere, gaps_to_spheres
from cryoctl_simulators.world.particle_pictures import (
    LITHIUM,
    Canvas,
    SeenParticle,
    as_in_its_middle,
    defocus_m,
    haadf_weights,
)
from cryoctl_simulators.world.pushing import pushed_apart
from cryoctl_simulators.world.reaction_log import ReactionLog
from cryoctl_simulators.world.specimen import Hold, Near, NotWired, Place

if TYPE_CHECKING:
    from cryoctl_simulators.world.needle_contact import NeedleContact

FloatArray = npt.NDArray[np.float64]


class CoatedParticles(NotWired):
    """See `cryoctl_simulators.world.specimen.Specimen`.

    `record` holds what became of each particle (place at rest, dose, reaction) and which ones the needle has touched.
    """

    has_cell = True

    def __init__(self, parameters: CoatedParticlesParameters, place: Place) -> None:
        self.parameters = parameters
        self.half_grid = HalfGrid(self.parameters, place.seed)
        self.law = self.parameters.lithiation
        self.record = place.record
        self._place = place
        self._areas = place.arrays["particle_area"]
        self._contact: NeedleContact | None = None
        record = self.record
        if not record:
            states = [{"place_m": [p.x_m, p.y_m, p.z_m], "dose": 0.0, "reaction": {}} for p in self.particles]
            record |= {"particles": states, "touched_radius_m": 0.0, "touched": []}
        self.log = ReactionLog(place.arrays["reaction"], record)
        self._initial_m2 = np.array([math.pi * one.radius_m**2 for one in self.particles])
        self.reactions = [Reaction(self.law, self.parameters.cell, one["reaction"]) for one in record["particles"]]

    @property
    def particles(self) -> tuple[Particle, ...]:
        return self.half_grid.particles

    # The beam

    def irradiate(self, kind: str, patch: Patch, temperature_k: float) -> None:
        rows, columns, dose = patch
        grid = self._place.grid
        for state in self.record["particles"]:
            x_m, y_m, _ = state["place_m"]
            row = round((y_m - grid.origin_y_m) / grid.pixel_size_m) - rows.start
            column = round((x_m - grid.origin_x_m) / grid.pixel_size_m) - columns.start
            if 0 <= row < dose.shape[0] and 0 <= column < dose.shape[1]:
                state["dose"] += float(dose[row, column])

    def scattered(self, frame: ScanFrame, settings: ImageDetectorSettings) -> tuple[FloatArray, HaadfDetector]:
        detector = haadf_detector(settings, frame.voltage_v, frame.convergence_rad, self._place.tail)
        still, time_s = as_in_its_middle(frame), frame.middle_s
        weights = haadf_weights(self.parameters, detector)
        layers = [Layer(self._paint_grid(still, weights, time_s), defocus_m(still, 0.0))]
        if self._contact is not None:
            apex = self._contact.needle.apex_m(time_s)
            canvas = Canvas(still, weights)
            if canvas.needle(apex, self._contact.needle.hidden):
                layers.append(Layer(canvas.total, defocus_m(still, float(apex[2]))))
        return scattered_share(layers, detector, frame.pixel_size_m), detector

    def x_rays(self, frame: ScanFrame, settings: EdxSettings, real_time_s: float, rng: np.random.Generator) -> EdxFrame:
        """Of silicon, oxygen, carbon and gold; what else there is gives none."""
        detector = edx_detector(settings, frame.voltage_v)
        still, time_s = as_in_its_middle(frame), frame.middle_s
        atoms = np.zeros((len(ELEMENTS), *frame.shape), dtype=np.float32)
        densities = self.parameters.materials.atoms_per_m3()
        for index, element in enumerate(ELEMENTS):
            weights = {name: one.get(element, 0.0) for name, one in densities.items()} | {LITHIUM: 0.0}
            if any(weights.values()):
                atoms[index] = self._paint_grid(still, weights, time_s)
        electrons = frame.current_a * frame.dwell_s / elementary_charge
        return detector.expose(detector.sources(ELEMENTS, atoms, frame.tilt_deg), electrons, real_time_s, rng)

    def _paint_grid(self, still: ScanFrame, weights: Mapping[str, float], time_s: float) -> FloatArray:
        canvas = Canvas(still, weights)
        canvas.grid(self.half_grid.edge, self.parameters.grid, self._place.seed)
        lithium = weights[LITHIUM] / weights["silicon"] if weights["silicon"] else 0.0
        canvas.particles(self.seen(time_s, lithium))
        return canvas.total

    def note_frame(self, row: int, time_s: float) -> None:
        if row < len(self._areas):
            self._areas[row, : len(self.particles)] = self.areas_m2(time_s)

    def composition(self, grid: VolumeGrid) -> Mapping[str, Any]:
        """Nothing: the specimen is no volume."""
        return {}

    def results(
        self, rows: npt.NDArray[np.int64], times_s: FloatArray, time_s: float, began_s: float
    ) -> Mapping[str, Any]:
        del began_s
        return particle_truth.tell(self, self._areas[rows, : len(self.particles)], times_s, time_s)

    # The particles at a time

    def areas_m2(self, time_s: float) -> FloatArray:
        """Projected area of each, beam damage included."""
        beam = self.parameters.beam
        dose = np.array([state["dose"] for state in self.record["particles"]])
        left = 1 + beam.shrinks * np.expm1(-dose / beam.shrinking_dose_e_per_a2)
        return self._initial_m2 * left * area_ratio(self._q(time_s), self.law)

    def radii_m(self, time_s: float) -> FloatArray:
        """Of their round parts: less than their areas where the core swells out of a crack."""
        crack = self.parameters.crack
        outlines = [
            _outline(crack.bulge * self._open(n, time_s), crack.bulge_radius) for n in range(len(self.particles))
        ]
        return np.sqrt(self.areas_m2(time_s) / outlines)

    def _q(self, time_s: float) -> FloatArray:
        q = np.zeros(len(self.particles))
        for number, reaction in enumerate(self.reactions):
            if reaction.begun:
                q[number] = self.log.q(number, time_s)
        return q

    def _open(self, number: int, time_s: float) -> float:
        broken_s, opening_s = self.reactions[number].state["broken_s"], self.parameters.crack.opening_s
        if broken_s is None or time_s < broken_s:
            return 0.0
        return min(1.0, (time_s - broken_s) / opening_s) if opening_s > 0 else 1.0

    def places_m(self, time_s: float) -> FloatArray:
        """Middles [particle, 3]: what is touched goes with the needle, gives way to its growth, and pushes others."""
        places = np.array([state["place_m"] for state in self.record["particles"]])
        radii = self.radii_m(time_s)
        contact = self._contact
        touched = contact.particle if contact is not None else None
        if contact is not None and touched is not None:
            apex = contact.needle.apex_m(time_s)
            _, away = gap_to_sphere(contact.needle.hidden, apex, places[touched], self.record["touched_radius_m"])
            places[touched] += away * (radii[touched] - self.record["touched_radius_m"] + contact.push_m(time_s))
        firm = [number == touched or self.reactions[number].begun for number in range(len(places))]
        return pushed_apart(places, radii, firm)

    def seen(self, time_s: float, lithium: float = 0.0) -> list[SeenParticle]:
        """How each looks; `lithium` is the strength of an atom of it over that of a silicon atom."""
        crack = self.parameters.crack
        atoms = self.parameters.its_ion.atoms
        radii, reacted_shares = self.radii_m(time_s), reacted(self._q(time_s))
        seen: list[SeenParticle] = []
        for number, place in enumerate(self.places_m(time_s)):
            particle, radius, taken_up = self.particles[number], float(radii[number]), float(reacted_shares[number])
            coating = particle.radius_m**3 - particle.core_radius_m**3
            core = max(radius**3 - coating, 1e-30) ** (1 / 3)
            crystal = 1 + (self._channelling(number, time_s) - 1) * (1 - taken_up)
            seen.append(
                SeenParticle(
                    place_m=(float(place[0]), float(place[1]), float(place[2])),
                    radius_m=radius,
                    core_radius_m=core,
                    strength=(particle.core_radius_m / core) ** 3 * (crystal + lithium * atoms * taken_up),
                    open_share=self._open(number, time_s),
                    crack_deg=particle.crack_deg,
                    crack_half_width_deg=crack.half_width_deg,
                    bulge=crack.bulge,
                    bulge_radius=crack.bulge_radius,
                )
            )
        return seen

    def contrast_change(self, number: int, time_s: float) -> float:
        """Relative change of what a crystalline core scatters while it is touched, 0 while it is not."""
        contact = self._contact
        if contact is None or contact.particle != number:
            return 0.0
        c = self.parameters.contact
        pushed = 1 - math.exp(-max(0.0, contact.overlap_m(time_s)) / c.contrast_length_m)
        return self.particles[number].turn * c.contrast * (c.contrast_at_once + (1 - c.contrast_at_once) * pushed)

    def _channelling(self, number: int, time_s: float) -> float:
        return self.particles[number].channelling * (1 + self.contrast_change(number, time_s))

    # A needle

    def meet(self, contact: NeedleContact) -> None:
        self._contact = contact

    def nearest(self, apex_m: FloatArray, time_s: float) -> Near:
        contact = self._contact
        assert contact is not None
        needle = contact.needle.hidden
        grid = self.parameters.grid
        film = gap_to_edge_m(needle, apex_m, self.half_grid.edge, 0.0, (-grid.film_m / 2, grid.film_m / 2))
        copper = gap_to_edge_m(needle, apex_m, self.half_grid.edge, grid.lip_m, (-grid.copper_m, 0.0))
        gaps, _ = gaps_to_spheres(needle, apex_m, self.places_m(time_s), self.radii_m(time_s))
        number = int(np.argmin(gaps))
        if gaps[number] < min(film, copper):
            return Near(float(gaps[number]), number)
        return Near(min(film, copper), None)

    def hold(self, body: int | None) -> Hold:
        if body is None:
            return Hold()
        c = self.parameters.contact
        sticks = c.bonded_m if self.reactions[body].begun else c.adhesion_m
        return Hold(push_share=c.push_share, push_m=c.push_m, adhesion_m=sticks)

    def touch(self, body: int, time_s: float) -> None:
        state = self.record["particles"][body]
        state["place_m"] = [float(value) for value in self.places_m(time_s)[body]]
        self.record["touched_radius_m"] = float(self.radii_m(time_s)[body])
        if body not in self.record["touched"]:
            self.record["touched"] = [*self.record["touched"], body]

    def overlap(self, body: int, apex_m: FloatArray) -> float:
        contact = self._contact
        assert contact is not None
        place = np.array(self.record["particles"][body]["place_m"])
        return -gap_to_sphere(contact.needle.hidden, apex_m, place, self.record["touched_radius_m"])[0]

    def part(self, body: int, time_s: float) -> None:
        """It springs back by what it was pushed, and stays where its growth has moved it."""
        contact = self._contact
        assert contact is not None
        state, before = self.record["particles"][body], self.record["touched_radius_m"]
        place = np.array(state["place_m"])
        _, away = gap_to_sphere(contact.needle.hidden, contact.needle.apex_m(time_s), place, before)
        state["place_m"] = [float(value) for value in place + away * (float(self.radii_m(time_s)[body]) - before)]

    def react(self, body: int, between_s: tuple[float, float], voltage_v: float) -> None:
        reaction = self.reactions[body]
        before = reaction.state["q"]
        ends = reaction.run(*between_s, voltage_v, self._oxide_m)
        if reaction.begun:
            self.log.add(body, between_s[0], before)
            for time_s, q in ends:
                self.log.add(body, time_s, q)

    def circuit(self, touching: int | str | None, voltage_v: float) -> tuple[float, float]:
        cell = self.parameters.cell
        if touching is None:
            return (0.0, math.inf)
        if isinstance(touching, str):
            return (0.0, cell.short_ohm)
        current_a = particle_cell.reaction_a(
            self.reactions[touching], voltage_v, self._oxide_m, self.capacity_c(touching)
        )
        return (cell.open_circuit_v, particle_cell.resistance_ohm(cell, voltage_v, current_a))

    @property
    def _oxide_m(self) -> float:
        return self._contact.needle.hidden.lixo_m if self._contact is not None else 0.0

    def capacity_c(self, number: int) -> float:
        """Charge of all the ions that its core takes up."""
        return particle_cell.capacity_c(self.parameters, self.particles[number])


@lru_cache(maxsize=64)
def _outline(bulge: float, bulge_radius: float) -> float:
    """Projected area of a round particle of radius 1 whose core swells out of its side by `bulge`."""
    if bulge <= 0:
        return math.pi
    out = 1 - bulge_radius + bulge
    return math.pi * (1 + bulge_radius**2) - overlap_of_circles(out, 1.0, bulge_radius)
