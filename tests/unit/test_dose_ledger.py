"""The ledger charges what physics gives, and its gate is never more generous than the truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cryoctl.dose.current import KnownCurrent, nominal
from cryoctl.dose.footprint import footprint, partial_footprint
from cryoctl.dose.ledger import Deposit, DoseLedger, dilate, grid_over
from cryoctl.dose.permits import DoseGate
from cryoctl.errors import DoseRefused
from cryoctl.interfaces.beam import Scan, ScanTiming
from cryoctl.interfaces.scan_cost import scan_cost

BLANKING = ScanTiming(settle_px=16, flyback_s=1e-3, blanks_flyback=True, latency_s=2e-6)
LEAKING = ScanTiming(settle_px=16, flyback_s=1e-3, blanks_flyback=False, latency_s=2e-6)
WITHOUT_STRIP = ScanTiming(settle_px=0, flyback_s=1e-3, blanks_flyback=False, latency_s=2e-6)
BY_COMMAND = ScanTiming(settle_px=16, flyback_s=1e-3, blanks_flyback=False, latency_s=2e-6, frame_s=0.2)
SCAN = Scan(shape=(96, 128), pixel_size_m=1e-8, dwell_s=1e-3, scans=8)
CURRENT_A = 2e-10


def electrons(charge_c: float) -> float:
    return charge_c / 1.602176634e-19


@pytest.mark.parametrize(
    "timing",
    [BLANKING, LEAKING, WITHOUT_STRIP, BY_COMMAND],
    ids=["blanking", "leaking", "leaking without a strip", "opened by command"],
)
@pytest.mark.parametrize("tilt_deg", [0.0, 60.0])
def test_charge_is_conserved_and_tilt_stretches_but_does_not_thin(timing: ScanTiming, tilt_deg: float) -> None:
    ledger = DoseLedger(grid_over((-2e-6, 2e-6, -2e-6, 2e-6)), math.inf)
    deposits = footprint(SCAN, timing, x_m=0.0, y_m=0.0, tilt_deg=tilt_deg, current_a=CURRENT_A)
    ledger.charge("record", deposits, 0.0)
    area_a2 = (ledger.grid.pixel_size_m * 1e10) ** 2 * math.cos(math.radians(tilt_deg))
    sent = electrons(CURRENT_A * scan_cost(SCAN, timing).beam_on_s)
    assert ledger.total.sum() * area_a2 == pytest.approx(sent, rel=1e-9)
    per_pixel = electrons(CURRENT_A * SCAN.dwell_s * SCAN.scans) / (SCAN.pixel_size_m * 1e10) ** 2
    if timing.settle_px == 0:
        per_pixel *= 1 + timing.flyback_s / (SCAN.shape[1] * SCAN.dwell_s)
    per_pixel *= 1 + timing.frame_s / (math.prod(SCAN.shape) * SCAN.dwell_s)
    assert ledger.at(0.0, 0.0) == pytest.approx(per_pixel, rel=1e-12)


def test_flyback_that_cannot_be_blanked_lands_in_the_strip() -> None:
    blanked = footprint(SCAN, BLANKING, x_m=0, y_m=0, tilt_deg=0, current_a=CURRENT_A)
    leaking = footprint(SCAN, LEAKING, x_m=0, y_m=0, tilt_deg=0, current_a=CURRENT_A)
    assert blanked[0] == leaking[0]
    assert leaking[1].dose_e_per_a2 > 100 * blanked[1].dose_e_per_a2
    assert leaking[1].x_m == pytest.approx(-(128 + 16) / 2 * 1e-8)


@given(beam_on=st.floats(0.0, 1.0), tilt_deg=st.floats(-70, 70))
@settings(max_examples=60, deadline=None)
def test_a_stopped_scan_is_charged_at_least_what_was_scanned_everywhere(beam_on: float, tilt_deg: float) -> None:
    scan = Scan(shape=(24, 20), pixel_size_m=2e-8, dwell_s=1e-4, scans=3)
    on_s = beam_on * scan_cost(scan, BLANKING).beam_on_s
    grid = grid_over((-1e-6, 1e-6, -2e-6, 2e-6))
    charged = DoseLedger(grid, math.inf)
    charged.charge(
        "record",
        partial_footprint(
            scan, BLANKING, x_m=0, y_m=0, tilt_deg=tilt_deg, current_a=CURRENT_A, beam_on_s=on_s, extra_s=0.0
        ),
        0.0,
    )
    full = footprint(scan, BLANKING, x_m=0, y_m=0, tilt_deg=tilt_deg, current_a=CURRENT_A)
    whole = DoseLedger(grid, math.inf)
    whole.charge("record", full, 0.0)
    sent = beam_on * whole.total.sum()
    assert charged.total.sum() >= sent * (1 - 1e-9)
    assert np.all(charged.total <= whole.total * (1 + 1e-9) + 1e-12)


@given(before=st.floats(0.0, 1.0), lines=st.integers(0, 71))
@settings(max_examples=40, deadline=None)
def test_what_an_opened_beam_did_before_its_first_line_is_charged_all_over_the_field(before: float, lines: int) -> None:
    scan = Scan(shape=(24, 20), pixel_size_m=2e-8, dwell_s=1e-3, scans=3)
    timing = replace(BY_COMMAND, settle_px=0)
    before_s, line_s = before * timing.frame_s, 20 * scan.dwell_s + timing.flyback_s
    whole, rest = divmod(lines, 24)
    on_s = (whole + 1) * before_s + lines * line_s
    charged = DoseLedger(grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), math.inf)
    parts = partial_footprint(scan, timing, x_m=0, y_m=0, tilt_deg=0, current_a=CURRENT_A, beam_on_s=on_s, extra_s=0.0)
    charged.charge("record", charged.settled(parts), 0.0)
    area_a2 = (20 * 24) * (2e-8 * 1e10) ** 2
    everywhere = electrons(CURRENT_A * ((whole + 1) * before_s + whole * 24 * line_s)) / area_a2
    line = electrons(CURRENT_A * line_s) / (area_a2 / 24)
    assert charged.at(0.0, 21 * 2e-8 / 2) >= everywhere * (1 - 1e-9)
    if rest > 2:
        assert charged.at(0.0, -21 * 2e-8 / 2) >= (everywhere + line) * (1 - 1e-9)


@given(stopped=st.floats(0.05, 1.0), first=st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_an_opened_beam_whose_acquisition_hangs_is_charged_all_over_the_field(stopped: float, first: int) -> None:
    """It may have scanned the field for all the time, so many scan frames done before or none."""
    scan = Scan(shape=(24, 20), pixel_size_m=2e-8, dwell_s=1e-3, scans=3)
    timing = replace(BY_COMMAND, settle_px=0)
    frame_s = 24 * (20 * scan.dwell_s + timing.flyback_s)
    on_s = first * frame_s + stopped * (scan_cost(scan, timing).beam_on_s - first * frame_s)
    charged = DoseLedger(grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), math.inf)
    parts = partial_footprint(scan, timing, x_m=0, y_m=0, tilt_deg=0, current_a=CURRENT_A, beam_on_s=on_s, extra_s=0.0)
    charged.charge("record", charged.settled(parts), 0.0)
    everywhere = electrons(CURRENT_A * on_s) / ((20 * 24) * (2e-8 * 1e10) ** 2)
    for row in (-11, 0, 10):
        assert charged.at(0.0, (row + 0.5) * 2e-8) >= everywhere * (1 - 1e-9)


@given(
    places=st.lists(st.tuples(st.floats(-3e-7, 3e-7), st.floats(-3e-7, 3e-7)), min_size=1, max_size=5),
    errors=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=5, max_size=5),
    sigma_m=st.floats(0, 8e-8),
)
@settings(max_examples=60, deadline=None)
def test_the_gate_is_nowhere_below_a_truth_within_its_bound(
    places: list[tuple[float, float]], errors: list[tuple[float, float]], sigma_m: float
) -> None:
    grid = grid_over((-1.5e-6, 1.5e-6, -1.5e-6, 1.5e-6))
    ledger, truth = DoseLedger(grid, math.inf), DoseLedger(grid, math.inf)
    for (x_m, y_m), (ex, ey) in zip(places, errors, strict=False):
        rectangle = Deposit(x_m=x_m, y_m=y_m, width_m=5e-7, height_m=3e-7, dose_e_per_a2=10.0)
        ledger.charge("record", [rectangle], sigma_m)
        moved = Deposit(
            x_m=x_m + 3 * sigma_m * ex, y_m=y_m + 3 * sigma_m * ey, width_m=5e-7, height_m=3e-7, dose_e_per_a2=10.0
        )
        truth.charge("record", [moved], 0.0)
    probe = Deposit(x_m=0, y_m=0, width_m=1e-6, height_m=1e-6, dose_e_per_a2=1e-9)
    inside = (slice(50, 100), slice(50, 100))
    assert ledger.peak_after([probe], 0.0) >= truth.total[inside].max() - 1e-9


def test_dilation_covers_the_radius() -> None:
    spot = np.zeros((41, 41))
    spot[20, 20] = 5.0
    grown = dilate(spot, 20e-9, 60e-9)
    assert grown[20, 23] == 5.0
    assert grown[23, 17] == 5.0
    assert grown[20, 26] == 0.0


def test_the_gate_refuses_what_would_pass_the_limit_and_counts_the_prior() -> None:
    grid = grid_over((-1e-6, 1e-6, -1e-6, 1e-6))
    scan = Scan(shape=(32, 32), pixel_size_m=1e-8, dwell_s=1e-3)
    current = KnownCurrent(current_a=CURRENT_A, sigma_rel=0.004, time_s=0.0, measured=True)
    one = electrons(CURRENT_A * 1e-3) / 1e4

    def issue(limit: float, prior: float) -> None:
        ledger = DoseLedger(grid, limit, np.full(grid.shape, prior))
        gate = DoseGate(ledger, BLANKING, second_stop_s=0.0, drift_rel_per_s=0.0)
        plan = gate.plan(scan, x_m=0, y_m=0, tilt_deg=0, current=current, now_s=0.0)
        gate.issue(plan, scan, exposure=0, kind="record", shift_x_m=0, shift_y_m=0, position_sigma_m=0, now_s=0.0)

    risen = 1 + current.unseen_rel(scan_cost(scan, BLANKING).duration_s)
    assert 1.1 < risen < 1.12
    issue(one * 1.009 * risen, 0.0)
    with pytest.raises(DoseRefused, match=r"dose\.limit_e_per_a2"):
        issue(one * 1.007 * risen, 0.0)
    with pytest.raises(DoseRefused):
        issue(one * 1.009 * risen, one * 0.01)


def test_the_gate_keeps_back_the_time_to_the_second_way_of_stopping() -> None:
    scan = Scan(shape=(32, 32), pixel_size_m=1e-8, dwell_s=1e-3)
    current = KnownCurrent(current_a=CURRENT_A, sigma_rel=0.0, time_s=0.0, measured=True)
    one = electrons(CURRENT_A * 1e-3) / 1e4
    kept_back = one * 0.5 / (32 * 32 * 1e-3)
    risen = 1 + current.unseen_rel(scan_cost(scan, BLANKING).duration_s)

    def issue(limit: float) -> None:
        gate = DoseGate(
            DoseLedger(grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), limit), BLANKING, second_stop_s=0.5, drift_rel_per_s=0.0
        )
        plan = gate.plan(scan, x_m=0, y_m=0, tilt_deg=0, current=current, now_s=0.0)
        gate.issue(plan, scan, exposure=0, kind="record", shift_x_m=0, shift_y_m=0, position_sigma_m=0, now_s=0.0)

    issue((one + kept_back) * risen * 1.001)
    with pytest.raises(DoseRefused):
        issue((one + kept_back) * risen * 0.999)


def test_the_gate_counts_the_drift_since_the_current_was_measured_and_during_the_exposure() -> None:
    gate = DoseGate(
        DoseLedger(grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), math.inf), BLANKING, second_stop_s=0.0, drift_rel_per_s=1e-3
    )
    scan = Scan(shape=(32, 32), pixel_size_m=1e-8, dwell_s=1e-2)
    current = KnownCurrent(current_a=CURRENT_A, sigma_rel=0.0, time_s=0.0, measured=True)
    plan = gate.plan(scan, x_m=0, y_m=0, tilt_deg=0, current=current, now_s=20.0)
    assert plan.upper_current_a == pytest.approx(CURRENT_A * (1 + 1e-3 * (20.0 + plan.duration_s)))
    assert plan.duration_s > 10.0


@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1)])
@pytest.mark.parametrize("by", ["an exposure", "the next one", "the prior"])
def test_three_sigmas_beside_where_it_is_believed_the_gate_counts_it(direction: tuple[int, int], by: str) -> None:
    grid, sigma_m, side_m = grid_over((-1.5e-6, 1.5e-6, -1.5e-6, 1.5e-6)), 6e-8, 3e-7
    here = Deposit(x_m=0, y_m=0, width_m=side_m, height_m=side_m, dose_e_per_a2=10.0)
    off_m = side_m + 2.9 * sigma_m  # beside it as far as beliefs go, overlapping in truth
    there = replace(here, x_m=direction[0] * off_m, y_m=direction[1] * off_m)
    if by == "the prior":
        earlier = DoseLedger(grid, math.inf)
        earlier.charge("record", [here], 0.0)
        ledger = DoseLedger(grid, math.inf, earlier.total, sigma_m)
    else:
        ledger = DoseLedger(grid, math.inf)
        ledger.charge("record", [here], sigma_m if by == "an exposure" else 0.0)
    assert ledger.peak_after([there], sigma_m if by == "the next one" else 0.0) >= 20.0 * (1 - 1e-9)


def test_permits_are_never_the_same() -> None:
    ledger = DoseLedger(grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), math.inf)
    gate = DoseGate(ledger, BLANKING, second_stop_s=0.1, drift_rel_per_s=1e-5)
    scan = Scan(shape=(32, 32), pixel_size_m=1e-8, dwell_s=1e-3)
    serials = set()
    for exposure in range(5):
        plan = gate.plan(scan, x_m=0, y_m=0, tilt_deg=0, current=nominal(CURRENT_A, 0.0), now_s=0.0)
        permit = gate.issue(
            plan, scan, exposure=exposure, kind="track", shift_x_m=0, shift_y_m=0, position_sigma_m=0, now_s=0.0
        )
        serials.add(permit.serial)
    assert len(serials) == 5


@pytest.mark.parametrize("sigma_rel", [0.004, 0.05, 0.2])
def test_a_cup_that_reads_two_sigma_low_is_still_charged_in_full(sigma_rel: float) -> None:
    true_a = 1e-10
    read_a = true_a * (1 - 2 * sigma_rel)
    known = KnownCurrent(current_a=read_a, sigma_rel=sigma_rel, time_s=0.0, measured=True)
    assert known.upper_a(0.0, 0.0) >= true_a * (1 - 1e-12)


@given(
    place=st.tuples(*[st.floats(-3e-8, 3e-8)] * 2), truth=st.tuples(*[st.floats(-1, 1)] * 2), side=st.floats(1e-9, 6e-8)
)
@settings(max_examples=100, deadline=None)
def test_an_area_smaller_than_a_pixel_shows_all_that_a_pixel_may_have_got(
    place: tuple[float, float], truth: tuple[float, float], side: float
) -> None:
    grid, sigma_m = grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), 2e-8
    ledger = DoseLedger(grid, math.inf)
    spot = Deposit(x_m=place[0], y_m=place[1], width_m=side, height_m=1.5 * side, dose_e_per_a2=100.0)
    ledger.charge("record", ledger.settled([spot]), sigma_m)
    columns, rows = (
        np.clip(np.minimum(edges + 1e-8, there + half) - np.maximum(edges - 1e-8, there - half), 0.0, None) / 2e-8
        for edges, there, half in (
            (np.arange(-50, 51) * 2e-8, place[0] + 3 * sigma_m * truth[0], side / 2),
            (np.arange(-50, 51) * 2e-8, place[1] + 3 * sigma_m * truth[1], 0.75 * side),
        )
    )
    received = 100.0 * np.multiply.outer(rows, columns)
    assert np.all(dilate(ledger.total, grid.pixel_size_m, 3 * sigma_m) >= received - 1e-9)


@given(
    places=st.lists(st.floats(-5e-8, 5e-8), min_size=1, max_size=6),
    away=st.floats(-1, 1),
    width=st.floats(1e-9, 2e-8),
)
@settings(max_examples=200, deadline=None)
def test_narrow_strips_side_by_side_show_all_that_one_pixel_may_have_got(
    places: list[float], away: float, width: float
) -> None:
    """A needle's pictures: the ends of their lines, a few tens of nanometres apart, in one pixel of the truth."""
    grid, sigma_m = grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), 2e-8
    ledger = DoseLedger(grid, math.inf)
    edges = np.arange(-50, 51) * 2e-8
    received = np.zeros(len(edges))
    for place in places:
        strip = Deposit(x_m=place, y_m=0.0, width_m=width, height_m=4e-7, dose_e_per_a2=100.0)
        ledger.charge("view", ledger.settled([strip]), sigma_m)
        there = place + 3 * sigma_m * away
        covered = np.minimum(edges + 1e-8, there + width / 2) - np.maximum(edges - 1e-8, there - width / 2)
        received += 100.0 * np.clip(covered, 0.0, None) / 2e-8
    shown = dilate(ledger.total, grid.pixel_size_m, 3 * sigma_m)[50]
    assert np.all(shown >= received - 1e-9)


@given(place=st.floats(-2e-8, 2e-8), away=st.floats(-1, 1), columns=st.integers(60, 400))
@example(place=-1.9843812481773817e-08, away=0.0, columns=233)
@settings(max_examples=100, deadline=None)
def test_a_strip_below_a_pixel_and_the_field_beside_it_may_share_one(place: float, away: float, columns: int) -> None:
    """Lattice pictures of a column that is open in the flyback (campaign, chip-biasing 321)."""
    grid, sigma_m = grid_over((-1e-6, 1e-6, -1e-6, 1e-6)), 2e-8
    scan = Scan(shape=(200, columns), pixel_size_m=1.7e-10, dwell_s=1e-6)
    ledger, truth = DoseLedger(grid, math.inf), DoseLedger(grid, math.inf)
    laid = footprint(scan, LEAKING, x_m=place, y_m=0.0, tilt_deg=0.0, current_a=CURRENT_A)
    received = tuple(replace(one, x_m=one.x_m + 3 * sigma_m * away) for one in laid)
    ledger.charge("record", ledger.settled(laid), sigma_m)
    truth.charge("record", received, 0.0)
    assert np.all(dilate(ledger.total, grid.pixel_size_m, 3 * sigma_m) >= truth.total - 1e-9)


@pytest.mark.parametrize("pixel_error", [0.0, 0.05, -0.05])
def test_a_pixel_size_known_to_five_percent_is_bounded_inside_and_at_the_edges(pixel_error: float) -> None:
    grid = grid_over((-4e-6, 4e-6, -4e-6, 4e-6))
    ledger, truth = DoseLedger(grid, math.inf), DoseLedger(grid, math.inf)
    gate = DoseGate(ledger, BLANKING, second_stop_s=0.0, drift_rel_per_s=0.0, pixel_bound_rel=0.05)
    scan = Scan(shape=(64, 96), pixel_size_m=3e-8, dwell_s=1e-3)
    current = KnownCurrent(current_a=CURRENT_A, sigma_rel=0.0, time_s=0.0, measured=True)
    plan = gate.plan(scan, x_m=0, y_m=0, tilt_deg=60.0, current=current, now_s=0.0)
    ledger.charge("record", plan.deposits, 5e-9 + plan.edge_sigma_m)
    real = replace(scan, pixel_size_m=scan.pixel_size_m * (1 + pixel_error))
    truth.charge("record", footprint(real, BLANKING, x_m=0, y_m=0, tilt_deg=60.0, current_a=CURRENT_A), 0.0)
    covered = dilate(ledger.total, grid.pixel_size_m, 3 * ledger.position_sigma_m)
    assert np.all(covered >= truth.total - 1e-9)


def test_current_bound_grows_with_age() -> None:
    known = KnownCurrent(current_a=1e-10, sigma_rel=0.004, time_s=100.0, measured=True)
    assert known.upper_a(100.0, 1e-5) == pytest.approx(1e-10 / 0.992, rel=1e-12)
    assert known.upper_a(1100.0, 1e-5) == pytest.approx(1e-10 / 0.992 * 1.01, rel=1e-12)
    assert nominal(1e-10, 0.0).upper_a(0.0, 0.0) == pytest.approx(1.2e-10)
