from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryoctl.errors import BadInput
from cryoctl.viewer.palette import image_map
from cryoctl.viewer.picture_panels import length_text, round_length
from cryoctl.viewer.run_page import draw_run
from tests.unit.runfile.synthetic_run import synthetic_run


@pytest.mark.parametrize("ending", [".png", ".pdf", ".svg"])
def test_a_killed_run_without_volumes_can_be_drawn(tmp_path: Path, ending: str) -> None:
    run = synthetic_run(tmp_path, ended=False, crash_in_exposure=True)
    draw_run(run, tmp_path / f"page{ending}", dpi=40)
    assert (tmp_path / f"page{ending}").stat().st_size > 10_000


def test_a_reconstruction_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--name"):
        draw_run(synthetic_run(tmp_path), tmp_path / "page.png", "wbp")


@pytest.mark.parametrize("element", ["HAADF", "Si", "O", "F", "C", "Xe"])
def test_lightness_rises_all_the_way(element: str) -> None:
    colours = image_map(element)(np.linspace(0, 1, 64))[:, :3]
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > -1e-3).all()
    assert luminance[0] < 0.02
    assert luminance[-1] > 0.95


@pytest.mark.parametrize(
    ("most_m", "text"), [(2.7e-7, "200 nm"), (6e-6, "5 \u00b5m"), (1e-9, "1 nm"), (4e-10, "2 \u00c5")]
)
def test_scale_bars_are_round(most_m: float, text: str) -> None:
    assert length_text(round_length(most_m)) == text
