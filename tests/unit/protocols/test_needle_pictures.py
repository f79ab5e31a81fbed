"""Where pictures of a tilted specimen may lie, whatever was seen of its height."""

from __future__ import annotations

import math

import pytest

from cryoctl.protocol import CalibratedValue
from cryoctl.steps import Compute, Computed, Expose, Exposed, FrameRef, MoveStage, StageAt, Wait, Waited
from cryoctl_protocols.needle_approach import aim
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_pictures import NeedlePictures
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters
from tests.unit.protocols.fake_instrument import some_facts


def wobbled(z_m: float, *, back: bool) -> list[tuple[float, Expose]]:
    """Tilts and exposures of a wobble with the stage at this height; the calibration bounds it by 8 um."""
    known = {"eucentric_offset": CalibratedValue(value=(1e-6,), sigma=4e-6, date="2026-11-01")}
    pictures = NeedlePictures(NeedleBiasingParameters(), some_facts(calibrations=known), NeedleDrive("right"))
    way, taken, tilt_deg = pictures.wobble(2e-8, back=back), [], 0.0
    step = next(way)
    while True:
        match step:
            case MoveStage():
                tilt_deg = float(step.tilt_deg or 0.0)
                answer = StageAt(x_m=0.0, y_m=0.0, z_m=z_m, tilt_deg=tilt_deg, time_s=1.0)
            case Wait():
                answer = Waited(time_s=2.0)
            case Expose():
                taken.append((tilt_deg, step))
                answer = Exposed(
                    exposure=len(taken),
                    outcome="done",
                    frame=FrameRef(stream="focus", index=len(taken)),
                    dose_e_per_a2=1e-3,
                    started_s=3.0,
                    duration_s=1.0,
                    scans_done=1,
                )
            case Compute():
                answer = Computed(values={"found": False})
        try:
            step = way.send(answer)
        except StopIteration:
            return taken


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("z_m", [1e-6, -2.1e-6, 3e-5])
def test_a_height_that_was_told_wrongly_is_within_what_is_charged(z_m: float, back: bool) -> None:
    """Campaign, needle-biasing 59: pictures of a straight edge told a height 8 um off, and the ledger lay below the
    truth where the wide wobble's pictures were."""
    taken = wobbled(z_m, back=back)
    assert len(taken) == (3 if back else 2)
    for tilt_deg, exposure in taken:
        aside_m = (abs(z_m - 1e-6) + 8e-6) * math.tan(math.radians(abs(tilt_deg)))
        assert abs(tilt_deg) > 5.0
        assert 3 * exposure.position_sigma_m > aside_m + 1e-6


@pytest.mark.parametrize(("side", "shape"), [("right", (256, 256)), ("top", (256, 512)), ("right", (512, 256))])
def test_the_first_picture_to_aim_by_shows_the_apex_whatever_its_shape(side: str, shape: tuple[int, int]) -> None:
    recipe = NeedleBiasingParameters.model_validate(
        {"needle": {"side": side}, "looks": {"close_shape": shape}}, strict=False
    )
    drive = NeedleDrive(side)
    pictures = NeedlePictures(recipe, some_facts(), drive)
    pictures.gap_m = reach_m = 1.1e-6
    pictures.apex_m = (0.0, reach_m) if drive.axis == "x" else (-reach_m, 0.0)
    first = next(aim(recipe, pictures, drive))
    assert isinstance(first, Expose)
    rows, columns = shape
    along_px = columns if drive.axis == "x" else rows
    assert first.shape == shape
    assert along_px / 2 * first.pixel_size_m > 1.3 * reach_m
