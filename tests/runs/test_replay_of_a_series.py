"""A recorded series that is no run of cryoctl: what the data decide, what stays unknown, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.text import Text

from cryoctl.errors import BadInput, FileProblem, RecipeError
from cryoctl.launch.replay import replay
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.runfile.check import check_run
from cryoctl.runfile.reader import open_run
from cryoctl.runfile.summary import summary_of
from cryoctl.viewer.run_page import page_of
from tests.recorded_series import REAL_TIME_S, SHAPE, TILTS_DEG, MadeSeries, make_series
from tests.runs.small_runs import run_file

RECIPE = "edx-tomography"
SETS = ("edx.elements=[O, Si]", "live.enabled=false")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSeries:
    return make_series(tmp_path_factory.mktemp("data") / "made.h5")


@pytest.fixture(scope="module")
def played(made: MadeSeries, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return replay(RunRequest(recipe=RECIPE, out=tmp_path_factory.mktemp("out"), overrides=SETS), made.path)


def test_order_tilts_pictures_and_every_count_are_the_datas(made: MadeSeries, played: RunResult) -> None:
    assert played.exit_code == 0
    assert (made.counts > 1).any()
    with open_run(run_file(played)) as run:
        assert tuple(run.image.tilt_deg) == TILTS_DEG
        assert np.array_equal(run.image.data, made.images)
        assert run.image.pixel_size_m == pytest.approx(20e-9)
        for frame, cube in enumerate(made.counts):
            assert np.array_equal(run.edx.spectrum_image(frame), cube)
        assert list(run.exposures.kind) == ["record"] * len(TILTS_DEG)
        assert np.asarray(run.exposures.duration_s) == pytest.approx(REAL_TIME_S)
        assert np.asarray(run.edx.energy_ev)[:2] == pytest.approx([-200.0, -190.0])
        assert run.entry.voltage_v == 120e3
        assert run.entry.replay_of == "made.h5"


def test_dose_is_unknown_gates_nothing_and_is_said(played: RunResult) -> None:
    with open_run(run_file(played)) as run:
        assert np.isnan(run.exposures.dose_e_per_a2).all()
        assert np.isnan(run.exposures.cumulative_dose_e_per_a2).all()
        assert np.isnan(run.exposures.beam_current_a).all()
        assert not run.dose.map.any()
        assert not run.dose.known
    assert played.summary["dose"]["peak"] is None
    assert any("dose unknown" in warning for warning in played.summary["warnings"])
    assert check_run(run_file(played)).ok


def test_the_page_draws_no_dose_that_is_not_known(played: RunResult) -> None:
    with open_run(run_file(played)) as run:
        texts = [text.get_text() for text in page_of(run).findobj(Text)]
    assert not [text for text in texts if text.startswith("dose: peak")]
    assert any(text.startswith("dose unknown") for text in texts)


def test_show_tells_the_counts_that_the_run_told(played: RunResult) -> None:
    assert summary_of(run_file(played))["counts"] == played.summary["counts"]


def test_halves_of_a_single_scan_frame_are_thinned_counts(played: RunResult) -> None:
    with open_run(run_file(played)) as run:
        assert run.results.fsc.Si.halves == "thinned counts"
    assert not [warning for warning in played.summary["warnings"] if "fsc" in warning]


def test_what_the_data_decide_is_ignored_with_one_warning(played: RunResult, made: MadeSeries, tmp_path: Path) -> None:
    ignored = [warning for warning in played.summary["warnings"] if "ignored" in warning]
    assert len(ignored) == 1
    assert all(field in ignored[0] for field in ("tilts", "image.shape", "image.pixel_size_m", "edx.scans"))
    own = tmp_path / "own.yaml"
    own.write_text(f"schema_version: 1\nprotocol: {RECIPE}\nedx: {{elements: [O, Si]}}\nlive: {{enabled: false}}\n")
    result = replay(RunRequest(recipe=str(own), out=tmp_path), made.path)
    assert [warning for warning in result.summary["warnings"] if "ignored" in warning] == []


def test_a_dose_limit_below_one_exposure_does_not_matter(made: MadeSeries, tmp_path: Path) -> None:
    sets = (*SETS, "dose={limit_e_per_a2: 0.001, per_tilt_e_per_a2: [1, 2, 3], split: equal}", "tilts.step_deg=60")
    assert replay(RunRequest(recipe=RECIPE, out=tmp_path, overrides=sets), made.path).exit_code == 0


def _spoil(source: Path, target: Path, change: Callable[[h5py.File], None]) -> Path:
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        change(file)
    return target


def _without(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def _one_count_more(file: h5py.File) -> None:
    file["tilt_+10/counts"][3] += 1


def _shorter(file: h5py.File) -> None:
    channel = file["tilt_+10/channel"][:-5]
    del file["tilt_+10/channel"]
    file["tilt_+10/channel"] = channel


def _another_shape(file: h5py.File) -> None:
    del file["tilt_+10/haadf"]
    file["tilt_+10/haadf"] = np.zeros((SHAPE[1], SHAPE[0]), np.uint16)


def _no_number(file: h5py.File) -> None:
    file["tilt_deg"][1] = np.nan


@pytest.mark.parametrize(
    "change",
    [
        _without("tilt_+10"),
        _without("tilt_-20/channel"),
        _without("pixel_size_nm"),
        _without("energy_offset_kev"),
        _one_count_more,
        _shorter,
        _another_shape,
        _no_number,
    ],
)
def test_a_damaged_file_is_refused(change: Callable[[h5py.File], None], made: MadeSeries, tmp_path: Path) -> None:
    bad = _spoil(made.path, tmp_path / "bad.h5", change)
    out = tmp_path / "out"
    with pytest.raises(FileProblem) as caught:
        replay(RunRequest(recipe=RECIPE, out=out, overrides=SETS), bad)
    assert "bad.h5" in caught.value.message
    assert len(caught.value.message) <= 300
    assert not out.exists()


def test_data_that_are_none_are_refused(made: MadeSeries, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no data")
    (tmp_path / "cut.h5").write_bytes(made.path.read_bytes()[:20_000])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for name in ("text.h5", "cut.h5", "other.h5", "absent.h5", "."):
        with pytest.raises(FileProblem):
            replay(RunRequest(recipe=RECIPE, out=tmp_path / "out"), tmp_path / name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("recipe", "sets"),
    [
        ("calibrate", ()),
        ("nothing", ()),
        (RECIPE, ("edx.elements=[Li]",)),
        (RECIPE, ("edx.elements=[Xx]",)),
        (RECIPE, ("tilts.step_deg=-1",)),
        (RECIPE, ("no.such.field=1",)),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    recipe: str, sets: tuple[str, ...], made: MadeSeries, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadInput) as caught:
        replay(RunRequest(recipe=recipe, out=out, overrides=sets), made.path)
    assert len(caught.value.message) <= 300
    assert not out.exists()


def test_an_element_beyond_the_energies_recorded_is_refused(made: MadeSeries, tmp_path: Path) -> None:
    """The channels end at 2.36 keV."""
    with pytest.raises(RecipeError):
        replay(RunRequest(recipe=RECIPE, out=tmp_path, overrides=("edx.elements=[Si, Cu]",)), made.path)


def test_the_summary_is_plain_json(played: RunResult) -> None:
    from cryoctl.cli.output import json_ready

    assert json.loads(json.dumps(json_ready(played.summary), allow_nan=False))["dose"]["peak"] is None
