"""What pictures tell of a needle, against where the simulated world has it."""

from __future__ import annotations

import numpy as np
import pytest

from cryoctl.analysis.contact import Contact, compared, decide
from cryoctl.analysis.needle_heights import Heights, heights
from cryoctl.analysis.needle_view import NeedleView, needle_view
from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.beam import Optics, Scan
from tests.needle_bench import NeedleBench

TILT_DEG = 8.0
CLOSE = Scan(shape=(256, 256), pixel_size_m=2e-9, dwell_s=2e-6)
SEARCH = Optics(name="search", voltage_v=200e3, beam_current_a=2e-11, convergence_rad=0.002)
RECORD = Optics(name="record", voltage_v=200e3, beam_current_a=1.6e-10, convergence_rad=0.01)


async def picture(bench: NeedleBench, scan: Scan) -> np.ndarray:
    return np.squeeze(np.asarray(await bench.take(scan, kind="view"), dtype=np.float64))


def seen(seed: int, pixel_m: float, gap_m: float, height_m: float) -> tuple[NeedleView, Heights, float, np.ndarray]:
    """What is measured of one needle, its true gap and its apex."""

    async def looked() -> tuple[NeedleView, Heights, float, np.ndarray]:
        given = {"needle.gap_m": gap_m, "needle.offset_m": gap_m / 15, "needle.height_m": height_m}
        async with NeedleBench(seed, given) as bench:
            await bench.beam.apply(SEARCH)
            scan = Scan(shape=(256, 256), pixel_size_m=pixel_m, dwell_s=5e-6)
            view, gap, apex = needle_view(await picture(bench, scan)), bench.gap_m(), bench.apex_m()
            await bench.stage.move(tilt_deg=-TILT_DEG)
            minus = await picture(bench, scan)
            await bench.stage.move(tilt_deg=TILT_DEG)
            return view, heights(minus, await picture(bench, scan), pixel_size_m=pixel_m, tilt_deg=TILT_DEG), gap, apex

    return run_virtual(looked())


@pytest.mark.parametrize(
    ("pixel_m", "gap_m", "height_m", "off_m"),
    [(600e-9, 60e-6, 3e-6, 0.5e-6), (50e-9, 4e-6, -3e-6, 0.1e-6), (10e-9, 0.9e-6, 0.2e-6, 0.01e-6)],
)
def test_the_gap_is_never_seen_too_large_and_heights_are_right(
    pixel_m: float, gap_m: float, height_m: float, off_m: float
) -> None:
    for seed in (1, 2):
        view, found, gap, apex = seen(seed, pixel_m, gap_m, height_m)
        assert view.found
        assert view.specimen_found
        assert 0.8 * gap - 3 * pixel_m < view.gap_px * pixel_m < gap + pixel_m
        assert abs(view.apex_y_px * pixel_m - apex[1]) < 2 * pixel_m
        assert found.found
        assert abs(found.needle_above_m - apex[2]) < min(off_m, 4 * found.needle_sigma_m)


def test_a_needle_that_comes_from_another_side_is_seen_alike() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(400.0, 5.0, (128, 128))
    image[:, :30] += 500.0
    rows, columns = np.indices(image.shape)
    image[np.abs(rows - 70) < (columns - 80) * 0.3] += 5000.0
    right = needle_view(image, "right")
    assert right.found
    assert right.apex_y_px == pytest.approx(70 - 63.5, abs=1.0)
    assert right.apex_x_px == pytest.approx(81 - 63.5, abs=4.0)
    assert right.gap_px == pytest.approx(51.0, abs=4.0)
    left = needle_view(image[:, ::-1], "left")
    assert (left.apex_y_px, left.apex_x_px) == pytest.approx((right.apex_y_px, -right.apex_x_px))
    bottom = needle_view(image.T, "bottom")
    assert (bottom.apex_x_px, bottom.apex_y_px) == pytest.approx((right.apex_y_px, right.apex_x_px))
    top = needle_view(image.T[::-1], "top")
    assert (top.apex_x_px, top.apex_y_px) == pytest.approx((right.apex_y_px, -right.apex_x_px))
    assert left.gap_px == bottom.gap_px == top.gap_px == right.gap_px


def test_a_needle_is_followed_over_all_of_its_gap_however_fine_the_pixels() -> None:
    """Pixels of 1 nm: twice as many over the same gap."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices((160, 420))

    def scene(apex: int) -> np.ndarray:
        image = rng.normal(400.0, 5.0, rows.shape)
        image[:, :95] += 150.0
        image[np.hypot(rows - 80, columns - 100) < 40] += 800.0
        image[np.abs(rows - 80) < np.minimum((columns - apex) * 0.3, 30.0)] += 9000.0
        return image

    first = scene(290)
    told = compared(first, scene(150))
    assert told.seen
    assert told.gap_px == pytest.approx(150.0, abs=4.0)
    assert told.nearer_px == pytest.approx(-140.0, abs=0.5)


def test_without_a_needle_nothing_is_found() -> None:
    noise = np.random.default_rng(2).normal(400.0, 5.0, (96, 96))
    assert not needle_view(noise).found
    assert not heights(noise, noise, pixel_size_m=1e-9, tilt_deg=5.0).found
    assert not decide(*[noise] * 5, pixel_size_m=1e-9).seen


def test_too_little_is_refused() -> None:
    empty = np.zeros((64, 64))
    with pytest.raises(ValueError, match="4 pictures; 5"):
        decide(*[empty] * 4, pixel_size_m=1e-9)
    with pytest.raises(ValueError, match="tilt_deg"):
        heights(empty, empty, pixel_size_m=1e-9, tilt_deg=0.0)


def one_whole_particle(apex_x_px: float, specimen_x_px: float, seed: int) -> np.ndarray:
    """A film with one whole particle and one that the frame cuts off, a needle from the right."""
    y, x = np.indices((160, 160)).astype(float)
    x_px = x - specimen_x_px
    film = np.where(x_px < 80 + 12 * np.sin(y / 25), 15.0, 0.0)
    for row, column in ((80.0, 80.0), (166.0, 105.0)):
        film = np.where(np.hypot(y - row, x_px - column) < 20, 120.0, film)
    past_px = x - apex_x_px
    film[np.abs(y - 78) < np.minimum(np.sqrt(np.maximum(40 * past_px, 0.0)), 12 + 0.1 * past_px)] = 2500.0
    return np.random.default_rng(seed).poisson(film + 10) + 400.0


def test_a_lone_particle_is_its_own_reference() -> None:
    """Where the needle comes before the film, nothing of it can be found again (campaign, needle-biasing 9034)."""
    first = one_whole_particle(145.0, 0.0, seed=1)
    for number, (apex_x_px, specimen_x_px) in enumerate(((140.0, 0.0), (120.0, -2.0), (104.0, -4.0), (103.0, -4.5))):
        told = compared(first, one_whole_particle(apex_x_px, specimen_x_px, seed=2 + number))
        assert told.seen
        assert told.nearer_px == pytest.approx(apex_x_px - 145.0 - specimen_x_px, abs=1.0)
        assert told.contrast == pytest.approx(1.0, abs=0.02)


async def approached(bench: NeedleBench, most: int) -> Contact | None:
    """The tube goes on by 2 nm a picture, by 6 nm while the gap is wide; a picture that is suspected is taken again."""
    await bench.beam.apply(RECORD)
    await bench.needle.high_voltage(True)
    pictures: list[np.ndarray] = []
    told: Contact | None = None
    x_m = 0.0
    for _ in range(most):
        pictures.append(await picture(bench, CLOSE))
        if len(pictures) < 5:
            continue
        told = decide(pictures[0], *pictures[1:][-9:], pixel_size_m=CLOSE.pixel_size_m)
        if told.found or not told.seen:
            break
        if not told.suspected:
            x_m -= 6e-9 if told.gap_m > 25e-9 else 2e-9
            await bench.needle.fine(x_m, 0.0, 0.0)
    return told


def approach(seed: int, gap_m: float, most: int, **given: float) -> tuple[Contact | None, float, int | None]:
    """What was told last, how far beyond the first touch the apex came, and the particle that it touches."""

    async def played() -> tuple[Contact | None, float, int | None]:
        settings = {"needle.gap_m": gap_m, **{f"needle.{name}": value for name, value in given.items()}}
        async with NeedleBench(seed, settings) as bench:
            told = await approached(bench, most)
            bench.contact.look(bench.world.time_s)
            return told, float(bench.contact.record["max_overlap_m"]), bench.contact.particle

    return run_virtual(played())


@pytest.mark.parametrize("seed", [pytest.param(3, marks=pytest.mark.campaign), 11])
def test_contact_is_seen_as_soon_as_it_is_made(seed: int) -> None:
    told, beyond_m, particle = approach(seed, 100e-9, 40, drift_m_per_s=1e-9)
    assert told is not None
    assert told.found
    assert particle is not None
    assert beyond_m < 5e-9


def test_a_needle_that_passes_above_touches_nothing() -> None:
    told, _, particle = approach(2, 90e-9, 60, height_m=200e-9)
    assert particle is None
    assert told is not None
    assert not told.found
    assert "passes above or below" in told.message


@pytest.mark.campaign
def test_many_approaches() -> None:
    """Run: `pytest -m campaign -s tests/unit/test_needle_views.py`. It takes about ten minutes."""
    rng = np.random.default_rng(4)
    beyond: list[float] = []
    missed = 0
    for seed in range(200):
        told, beyond_m, particle = approach(
            seed,
            130e-9,
            160,
            drift_m_per_s=rng.uniform(0.0, 2e-9),
            tip_radius_m=rng.uniform(10e-9, 60e-9),
        )
        missed += not (told is not None and told.found and particle is not None)
        beyond.append(beyond_m)
    median, p95 = np.median(beyond) * 1e9, np.percentile(beyond, 95) * 1e9
    print(f"\n200 approaches: {missed} without contact found; overshoot median {median:.2f}, p95 {p95:.2f} nm")
    assert missed == 0
    assert median < 5.0
    assert p95 < 10.0
