"""`measure area` on stacks that are not ours: table, files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cryoctl.cli.main import app
from cryoctl.errors import BadInput
from tests.particle_pictures import Grain, counted, drawn

SQUARE = [[20, 20], [40, 20], [40, 40], [20, 40]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("area") / "stack.npy"
    grains = [Grain(y=32, x=30, core_px=14).grown(1 + 0.0 * k) for k in range(3)]
    np.save(path, np.stack([counted(drawn([one], (64, 64), finer=2), k) for k, one in enumerate(grains)]))
    return path


def call(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["measure", "area", *map(str, words)])
    if isinstance(found.exception, BadInput):
        assert len(found.exception.message) <= 300
        return 2, found.exception.message
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.stdout


def test_particles_come_with_area_uncertainty_and_place(stack: Path, tmp_path: Path) -> None:
    out, picture, labels = tmp_path / "areas.csv", tmp_path / "areas.png", tmp_path / "labels.npy"
    options = ["--pixel-size", "2nm", "--frame-interval", "2s", "--quiet"]
    code, text = call(stack, *options, "--out", out, "--plot", picture, "--labels", labels, "--json")
    answer = json.loads(text)
    assert code == answer["exit_code"] == 0
    (one,) = answer["area"].values()
    assert one["time_s"] == [0.0, 2.0, 4.0]
    for area, sigma in zip(one["area_m2"], one["area_m2_sigma"], strict=True):
        assert area == pytest.approx(np.pi * 14**2 * 4e-18, abs=4 * sigma)
    assert "p1,area_m2[0]," in out.read_text(encoding="utf-8")
    assert np.load(labels).shape == (3, 64, 64)
    assert picture.stat().st_size > 10_000


def test_polygons_are_measured_also_those_of_labelme(stack: Path, tmp_path: Path) -> None:
    ours, labelme = tmp_path / "ours.json", tmp_path / "labelme.json"
    ours.write_text(json.dumps({"polygons": [{"name": "a", "frame": 1, "points": [*SQUARE, SQUARE[0]]}]}))
    shapes = [{"label": "a", "points": SQUARE, "shape_type": "polygon"}]
    labelme.write_text(json.dumps({"shapes": shapes, "imageHeight": 64, "imageWidth": 64}))
    for file in (ours, labelme):
        code, text = call(stack, "--pixel-size", "2nm", "--polygons", file, "--json")
        assert code == 0
        assert json.loads(text)["area"]["a"]["area_m2"] == pytest.approx([400 * 4e-18])


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([[10, 10], [40, 40], [40, 10], [10, 40]], "cross each other"),
        ([[10, 10], [80, 10], [40, 40]], "lies outside the picture of 64 x 64"),
        ([[10, 10], [20, 20]], "at least 3"),
        ([[10, 10], [20, 20], [30, 30]], "lie on one line"),
        ([[10, 10], [None, 20], [30, 30]], "give its corners in pixels"),
    ],
)
def test_polygons_that_can_t_be_measured_are_refused(
    stack: Path, tmp_path: Path, points: list[list[float]], told: str
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"polygons": [{"name": "a", "frame": 0, "points": points}]}))
    code, text = call(stack, "--pixel-size", "2nm", "--polygons", file)
    assert code == 2
    assert told in text


def test_polygons_that_cross_one_another_or_lie_in_no_frame_are_refused(stack: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    shifted = [[x + 10, y + 10] for x, y in SQUARE]
    entries = [{"name": "a", "points": SQUARE}, {"name": "b", "points": shifted}]
    for polygons, told in ((entries, "cross in frame 0"), ([{"name": "a", "frame": 3, "points": SQUARE}], "0 to 2")):
        file.write_text(json.dumps({"polygons": polygons}))
        code, text = call(stack, "--pixel-size", "2nm", "--polygons", file)
        assert code == 2
        assert told in text


def test_a_stack_without_scale_masks_of_another_size_and_empty_points_are_refused(stack: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks.npy"
    np.save(masks, np.zeros((3, 32, 64), dtype=np.uint8))
    for words, told in (
        ((), "--pixel-size"),
        (("--pixel-size", "2nm", "--masks", masks), "3 x 32 x 64"),
        (("--pixel-size", "2nm", "--particle", "1,1"), "no whole particle"),
        (("--pixel-size", "2nm", "--onset", "3s"), "--frame-interval"),
        (("--pixel-size", "2nm", "--polarity", "grey"), "auto, bright, dark"),
    ):
        code, text = call(stack, *words)
        assert code == 2
        assert told in text


def test_nothing_to_measure_is_the_answer_no(tmp_path: Path) -> None:
    path = tmp_path / "empty.npy"
    np.save(path, counted(np.full((2, 64, 64), 20.0), 1))
    code, text = call(path, "--pixel-size", "2nm", "--json")
    assert code == 1
    assert json.loads(text)["area"] == {}
