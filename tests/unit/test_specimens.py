from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cryoctl.errors import BadInput
from cryoctl_simulators.optics.projection import ImageGeometry, Projector
from cryoctl_simulators.specimens.features import FeatureField
from cryoctl_simulators.specimens.matched_pairs import build_matched_pair
from cryoctl_simulators.specimens.nanowire import STAGES, build_nanowire, load_nanowire
from cryoctl_simulators.specimens.phases import bundled_phases, mixture_atoms_per_m3

SHAPE = (72, 72, 64)


@pytest.fixture(scope="module")
def wires() -> dict[str, object]:
    return {stage: build_nanowire(stage, 7, SHAPE) for stage in STAGES}


def test_densities_are_physical() -> None:
    silicon = bundled_phases()["silicon"].atoms_per_m3()["Si"]
    assert silicon == pytest.approx(4.99e28, rel=0.005)
    assert bundled_phases()["LiF"].atoms_per_m3()["F"] == pytest.approx(6.13e28, rel=0.005)
    assert bundled_phases()["gold"].atoms_per_m3()["Au"] == pytest.approx(5.90e28, rel=0.005)
    with pytest.raises(BadInput):
        mixture_atoms_per_m3({"LiF": 0.7, "LEDC": 0.4})
    with pytest.raises(BadInput):
        mixture_atoms_per_m3({"unobtainium": 0.1})


def test_same_seed_same_wire_other_seed_another() -> None:
    once, again, other = (build_nanowire("core-shell", seed, SHAPE) for seed in (1, 1, 2))
    assert np.array_equal(once.atoms_per_m3, again.atoms_per_m3)
    assert not np.allclose(once.atoms_per_m3, other.atoms_per_m3)


def test_stages_differ_as_they_should(wires: dict) -> None:
    total = {stage: {e: float(w.of(e).sum()) for e in w.elements} for stage, w in wires.items()}
    assert total["pristine"]["F"] < 0.5 * total["core-shell"]["F"] < 0.5 * total["plum-pudding"]["F"]
    assert total["core-shell"]["Si"] == pytest.approx(total["pristine"]["Si"], rel=0.01)
    assert 0.25 < total["plum-pudding"]["Si"] / total["core-shell"]["Si"] < 0.5
    for wire in wires.values():
        assert wire.atoms_per_m3.min() >= 0
        assert wire.of("Si").max() < 5.05e28
        # Nothing touches the sides of the grid across the wire.
        assert not wire.atoms_per_m3[:, [0, -1]].any()
        assert not wire.atoms_per_m3[:, :, [0, -1]].any()


def test_silicon_is_one_piece_until_it_breaks_up(wires: dict) -> None:
    for stage, wire in wires.items():
        silicon = wire.of("Si") > 2.5e28
        labels, count = ndimage.label(silicon)
        largest = np.bincount(labels.ravel())[1:].max() / silicon.sum()
        if stage == "plum-pudding":
            assert count > 20
            assert largest < 0.9  # some of it is dead: it no longer connects
        else:
            assert largest > 0.999


def test_surfaces_are_anti_aliased(wires: dict) -> None:
    silicon = wires["core-shell"].of("Si")
    partial = (silicon > 0.05 * silicon.max()) & (silicon < 0.95 * silicon.max())
    assert partial.sum() > 0.5 * SHAPE[2] * np.pi * 25  # about a voxel's layer around the circumference


def test_marks_lie_off_axis_around_the_wire(wires: dict) -> None:
    gold = wires["core-shell"].of("Au")
    labels, count = ndimage.label(gold > 0)
    assert count >= 5
    centres = np.array(ndimage.center_of_mass(gold, labels, range(1, count + 1)))
    azimuth = np.sort(np.degrees(np.arctan2(centres[:, 0] - 35.5, centres[:, 1] - 35.5)))
    gaps = np.diff(np.append(azimuth, azimuth[0] + 360))
    assert gaps.max() < 180
    assert np.hypot(centres[:, 0] - 35.5, centres[:, 1] - 35.5).min() > 10


def test_bad_input_is_one_sentence() -> None:
    for call in (
        lambda: build_nanowire("fresh", 1, SHAPE),
        lambda: build_nanowire("pristine", 1, (20, 72, 64)),
        lambda: load_nanowire({"core_diameter_m": -1.0}),
        lambda: load_nanowire({"colour": "blue"}),
    ):
        with pytest.raises(BadInput) as caught:
            call()
        assert len(str(caught.value)) <= 300


def test_matched_pair_is_equal_at_zero_and_differs_at_a_tilt() -> None:
    shell, pudding = build_matched_pair(3, SHAPE)
    image = ImageGeometry(SHAPE[1:], 10e-9)
    scale = {}
    for tilt in (0.0, 60.0):
        a, _ = Projector(shell).project(tilt, image)
        b, _ = Projector(pudding).project(tilt, image)
        scale[tilt] = [np.abs(a[i] - b[i]).sum() / a[i].sum() for i, e in enumerate(shell.elements) if e in "Si O F C"]
    assert max(scale[0.0]) < 1e-5
    assert min(scale[60.0]) > 0.05
    assert not np.allclose(shell.of("Si"), pudding.of("Si"))
    assert np.array_equal(shell.of("Au"), pudding.of("Au"))


def test_features_look_the_same_at_every_visit_and_move_with_the_shift() -> None:
    field = FeatureField(4)
    here = field.project(0.0, ImageGeometry((64, 64), 10e-9, centre_m=(0.0, 4e-6)))
    again = FeatureField(4).project(0.0, ImageGeometry((64, 64), 10e-9, centre_m=(0.0, 4e-6)))
    assert np.array_equal(here, again)
    moved = field.project(0.0, ImageGeometry((64, 64), 10e-9, shift_m=(30e-9, -20e-9), centre_m=(0.0, 4e-6)))
    assert np.allclose(moved[:, 3:, :-2], here[:, :-3, 2:], rtol=1e-3, atol=1e-3 * here.max())
    elsewhere = field.project(0.0, ImageGeometry((64, 64), 10e-9, centre_m=(0.0, 8e-6)))
    assert not np.allclose(elsewhere, here)


def test_film_thickens_as_one_over_cos() -> None:
    field = FeatureField(4)
    carbon = field.elements.index("C")
    flat, tilted = (field.project(t, ImageGeometry((256, 256), 10e-9))[carbon].mean() for t in (0.0, 60.0))
    assert tilted / flat == pytest.approx(2.0, rel=0.05)
