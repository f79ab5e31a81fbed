from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cryoctl.errors import BadInput
from cryoctl.launch.aligned_series import HAADF, align_recording, element_series, fit_recording
from cryoctl.launch.moved_events import move_events
from cryoctl.launch.reconstruct import Wanted, check_wanted, reconstruct_recording, tree_of
from tests.wire_recording import recording


def test_events_without_displacement_stay_where_they_were() -> None:
    pixel, channel = np.arange(12, dtype=np.uint32), np.arange(12, dtype=np.uint16)
    moved, kept = move_events(pixel, channel, (3, 4), (0.0, 0.0), 0.0, (1,))
    assert np.array_equal(moved, pixel)
    assert np.array_equal(kept, channel)


def test_whole_pixels_move_events_as_they_move_images() -> None:
    pixel = np.repeat(np.uint32(5 * 16 + 7), 1000)
    moved, _ = move_events(pixel, np.zeros(1000, np.uint16), (12, 16), (2.0, -3.0), 0.0, (1,))
    assert set(moved.tolist()) == {3 * 16 + 10}


def test_half_a_pixel_splits_events_evenly() -> None:
    pixel = np.repeat(np.uint32(5 * 16 + 7), 20_000)
    moved, _ = move_events(pixel, np.zeros(20_000, np.uint16), (12, 16), (0.5, 0.0), 0.0, (1,))
    counts = np.bincount(moved, minlength=12 * 16).reshape(12, 16)
    assert counts[4, 7] + counts[5, 7] == 20_000
    assert abs(counts[4, 7] - 10_000) < 5 * np.sqrt(5000)


def test_moved_counts_have_poisson_variance() -> None:
    rng = np.random.default_rng(4)
    totals = []
    for k in range(300):
        pixel = rng.integers(0, 64, rng.poisson(640)).astype(np.uint32)
        moved, _ = move_events(pixel, np.zeros(len(pixel), np.uint16), (8, 8), (0.3, 0.4), 3.0, (k,))
        totals.append(np.bincount(moved, minlength=64)[27])
    ratio = np.var(totals, ddof=1) / np.mean(totals)
    assert 0.75 < ratio < 1.3  # linear interpolation of the same shift would leave 0.36


def test_turning_agrees_with_the_alignment_of_images() -> None:
    from cryoctl.reconstruction.alignment import moved as moved_image

    image = np.zeros((40, 60), np.float32)
    image[12, 45] = 30_000
    pixel = np.repeat(np.uint32(12 * 60 + 45), 30_000)
    turned, _ = move_events(pixel, np.zeros(30_000, np.uint16), (40, 60), (1.5, -2.5), 8.0, (1,))
    events = np.bincount(turned, minlength=2400).reshape(40, 60)
    expected = moved_image(image, (1.5, -2.5), 8.0)
    place = [np.array(np.nonzero(one > 0.05 * one.max())).mean(axis=1) for one in (events, expected)]
    assert np.abs(place[0] - place[1]).max() < 0.6


def test_the_same_events_land_in_the_same_pixels_again() -> None:
    series = recording()
    alignment = align_recording(series)
    fit = fit_recording(series, ("Si",))
    first, second = (element_series(series, alignment, fit, seed=1)["Si"] for _ in range(2))
    assert np.array_equal(first.counts, second.counts)


def test_halves_add_up_to_the_counts() -> None:
    series = recording()
    alignment = align_recording(series)
    found = element_series(series, alignment, fit_recording(series, ("Si", "O")))
    for one in found.values():
        assert one.halves is not None
        assert np.array_equal(one.halves.sum(axis=0), one.counts)


def test_core_and_shell_are_recovered_and_told() -> None:
    done = reconstruct_recording(recording(), Wanted(elements=("Si", "O")))
    report = done.report()
    assert set(report) == {"Si", "O", "alignment"}
    assert report["Si"]["ncc_truth"] > 0.85
    assert report["O"]["ncc_truth"] > 0.65
    assert 0.9 < report["Si"]["elongation"] < 1.6
    assert report["Si"]["iterations"] >= 2
    assert report["Si"]["fsc_m"] > 2e-8
    si, oxygen = (done.elements[name].volume for name in ("Si", "O"))
    centre = tuple(slice(n // 2 - 2, n // 2 + 2) for n in si.shape)
    assert si[centre].mean() > 5 * oxygen[centre].mean() * si.mean() / oxygen.mean() / 5
    tree = tree_of(done)
    assert tree["Si/volume"].shape == (40, 40, 32)
    assert tree["alignment/shift_px"].shape == (21, 2)
    assert not any(value is None for value in tree.values())


@pytest.mark.parametrize("algorithm", ["osem", "sirt", "wbp"])
def test_every_algorithm(algorithm: str) -> None:
    report = reconstruct_recording(recording(), Wanted(elements=("Si",), algorithm=algorithm)).report()
    assert report["Si"]["algorithm"] == algorithm
    assert report["Si"]["error_truth"] < 0.8


def test_given_iterations_are_kept() -> None:
    report = reconstruct_recording(recording(), Wanted(elements=("Si",), iterations=3)).report()
    assert report["Si"]["iterations"] == 3
    assert report["Si"]["stop_rule"] == "given"


def test_a_single_scan_frame_s_halves_are_thinned_counts_and_its_image_has_none() -> None:
    series = recording()
    tilts = tuple(
        dataclasses.replace(tilt, scans=tilt.scans[:1], shifts_px=tilt.shifts_px[:1], events=tilt.events[:1])
        for tilt in series.tilts
    )
    report = reconstruct_recording(dataclasses.replace(series, tilts=tilts), Wanted(elements=("Si", HAADF))).report()
    assert report["Si"]["fsc_halves"] == "thinned counts"
    by_scans = reconstruct_recording(series, Wanted(elements=("Si",))).report()["Si"]
    assert by_scans["fsc_halves"] == "scan frames"
    assert by_scans["fsc_m"] < report["Si"]["fsc_m"] < 2.5 * by_scans["fsc_m"]  # of a quarter of the counts
    assert report["HAADF"]["fsc_m"] is None
    assert "halves" in report["HAADF"]["shortfalls"][0]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Wanted(elements=("Au",)), "'Au' is not in the run; it has Si, O, F, HAADF"),
        (Wanted(iterations=0), "at least 1"),
        (Wanted(iterations=-3), "at least 1"),
        (Wanted(algorithm="magic"), "choose one of mlem, osem, sirt, wbp"),
    ],
)
def test_bad_wishes_are_refused(wanted: Wanted, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        check_wanted(wanted, ("Si", "O", "F"))


def test_without_edx_only_the_image() -> None:
    series = dataclasses.replace(recording(), energy=None)
    assert set(reconstruct_recording(series, Wanted(iterations=5)).elements) == {HAADF}
