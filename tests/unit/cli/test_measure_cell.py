"""`measure jv`, `diffraction` and `contact` on small files: tables, pictures, and what is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cryoctl.cli.main import app
from cryoctl.errors import BadInput
from cryoctl.viewer.cell_page import draw_curves, draw_facets
from tests.unit.runfile.synthetic_run import synthetic_run

SPACING_M = 6.4e-10
SHARES = (1.0, 0.85, 0.7, 0.5)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fringes that fade to a half over four pictures, pixels of 0.16 nm."""
    path = tmp_path_factory.mktemp("cell") / "stack.npy"
    rng = np.random.default_rng(3)
    x_m = np.arange(128) * 1.6e-10
    fringes = np.cos(2 * np.pi * x_m / SPACING_M)[None, :] * np.ones((128, 1))
    pictures = [rng.poisson(60 * (1 + 0.4 * share * fringes)) for share in SHARES]
    np.save(path, np.stack(pictures).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def unbiased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run(tmp_path_factory.mktemp("unbiased"))


def call(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["measure", *map(str, words)])
    if isinstance(found.exception, BadInput):
        assert len(found.exception.message) <= 300
        assert "\n" not in found.exception.message
        return found.exception.exit_code, found.exception.message
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.stdout


def test_facets_of_a_stack_fade_as_drawn(stack: Path, tmp_path: Path) -> None:
    picture = tmp_path / "facets.png"
    options = ["--facet", "100=0.64nm", "--pixel-size", "0.16nm", "--plot", picture, "--quiet"]
    code, text = call("diffraction", stack, *options, "--json")
    answer = json.loads(text)
    assert code == answer["exit_code"] == 0
    (series,) = answer["diffraction"].values()
    assert series["name"] == ["100"]
    intensity, sigma = np.asarray(series["intensity"][0]), np.asarray(series["intensity_sigma"][0])
    assert (np.abs(intensity - 0.4 * np.array(SHARES)) < 4 * sigma).all(), "contrast of the fringes"
    assert picture.stat().st_size > 10_000
    code, text = call("diffraction", stack, *options)
    assert code == 0
    assert "in 4 pictures" in text


@pytest.mark.parametrize(
    ("facet", "told"),
    [
        ("nonsense", "--facet: found 'nonsense'"),
        ("100=", "--facet: found '100='"),
        ("100=fast", "a length is wanted"),
        ("100=1m", "a spacing lies between"),
        ("100=0.64nm@north", "its direction is a number of degrees"),
        ("100=0.2nm", "none of the facets 100 is seen"),
    ],
)
def test_facets_that_are_none_are_refused(stack: Path, facet: str, told: str) -> None:
    code, text = call("diffraction", stack, "--facet", facet, "--pixel-size", "0.16nm")
    assert code == 2
    assert told in text


def test_a_stack_says_neither_facets_nor_scale(stack: Path) -> None:
    assert call("diffraction", stack, "--pixel-size", "0.16nm")[0] == 2
    code, text = call("diffraction", stack, "--facet", "100=0.64nm")
    assert code == 2
    assert "--pixel-size" in text


def test_curves_need_a_run_whose_source_has_swept(stack: Path, unbiased: Path) -> None:
    code, text = call("jv", stack)
    assert code == 2
    assert "is no run file" in text
    code, text = call("jv", unbiased)
    assert code == 2
    assert "no samples of a source" in text


def test_a_run_without_facets_or_needle_is_told_so(unbiased: Path) -> None:
    code, text = call("diffraction", unbiased)
    assert code == 2
    assert "--facet" in text
    code, text = call("contact", unbiased)
    assert code == 2
    assert "has no needle" in text


def test_curves_are_drawn_by_part_and_direction(tmp_path: Path) -> None:
    up = np.linspace(-0.1, 1.2, 40)
    volts = np.concatenate([up, up[::-1]])
    one = {"light_w_per_m2": 1001.0, "voltage_v": volts, "current_a": 1e-10 * (np.exp(3 * volts) - 20)}
    times = ((0.0, 20.0), (20.1, 40.1), (900.0, 920.0))
    curves = [{**one, "since_s": since_s, "until_s": until_s} for since_s, until_s in times]
    report = {"curves": curves, "jv": {"jsc_a": [1.9e-9] * 6}}
    draw_curves(tmp_path / "curves.svg", "cell", report)
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert text.count("<!-- before, forward, 1000 W/m") == text.count("<!-- after, reverse, 1000 W/m") == 1
    draw_facets(
        tmp_path / "facets.png",
        "cell",
        {
            "diffraction": {
                "control": {"name": ["100"], "intensity": [[1.0, 0.9]], "intensity_sigma": [[0.1, 0.1]]},
            }
        },
    )
    assert (tmp_path / "facets.png").stat().st_size > 10_000
