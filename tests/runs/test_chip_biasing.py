"""A solar cell on the simulated chip: curves without the beam, facets of two regions, and what stops such a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.errors import BadInput
from cryoctl.launch.measure_cell import measure_diffraction, measure_jv
from cryoctl.launch.replay import replay
from cryoctl.launch.request import RunRequest
from tests.runs.chip_runs import RECIPE, SMALL, play, sweep_errors


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = play(tmp_path_factory.mktemp("chip"), *SMALL, seed=4)
    assert result.exit_code == 0, result.summary["message"]
    assert result.run_file is not None
    return result.run_file


def test_curves_are_those_of_the_cell_although_the_beam_makes_a_current(run_file: Path) -> None:
    """One quick sweep there and back; hysteresis needs more of them (campaign)."""
    found = sweep_errors(run_file)
    assert abs(found.voc) < 0.005
    assert abs(found.jsc) < 0.01
    assert abs(found.fill_factor) < 0.01
    assert abs(found.hysteresis_index) < 0.01
    with open_run(run_file) as run:
        ebic = run.results.ebic
        assert ebic.found
        assert ebic.ebic_a < -10 * ebic.ebic_a_sigma
        offset_a = run.results.dark.offset_a - run.truth.hidden.bias_offset_a
        assert abs(offset_a) < 5 * run.results.dark.offset_a_sigma


def test_every_row_of_the_trace_says_how_far_the_beam_was_open(run_file: Path) -> None:
    with open_run(run_file) as run:
        trace, table = run.monitors["bias_current"], run.exposures
        times, share = np.asarray(trace.time_s), np.asarray(trace.beam_open)
        changed_s, is_open = np.asarray(run.truth.blank.time_s), np.asarray(run.truth.blank.open)
        starts, ends = np.asarray(table.time_s), np.asarray(table.time_s) + np.asarray(table.duration_s)
    assert len(share) == len(times)
    assert ((share >= 0) & (share <= 1)).all()
    inside = np.array([bool(((starts <= time) & (time <= ends)).any()) for time in times])
    assert (share[inside] > 0).all()
    truly = np.concatenate([[False], is_open])[np.searchsorted(changed_s, times, side="right")]
    assert not truly[share == 0.0].any()


def test_facets_of_both_regions_are_seen_at_the_same_dose(run_file: Path) -> None:
    with open_run(run_file) as run:
        facets = run.results.facets
        assert [str(one) for one in facets.name] == ["100", "110"] * 2
        assert [str(one) for one in facets.region] == ["active"] * 2 + ["control"] * 2
        doses = np.asarray(facets.dose_e_per_a2)
        targets = np.array([str(one) for one in run.image.target])
        off = np.asarray(facets.intensity)[:2][:, targets == "active"]
        true = np.asarray(run.truth.results.facets.intensity)[:2][:, targets == "active"]
        sigma = np.asarray(facets.intensity_sigma)[:2][:, targets == "active"]
    assert np.abs(doses[targets == "active"] - doses[targets == "control"]).max() < 1.5
    assert (np.abs(off - true) < 5 * sigma + 0.1).all()


def test_offline_measures_find_what_the_run_concluded(run_file: Path) -> None:
    jv = measure_jv(run_file)
    facets = measure_diffraction(run_file)
    with open_run(run_file) as run:
        own = run.results.jv
        assert jv["jv"]["direction"][:2] == [str(one) for one in own.direction[:2]]
        assert jv["jv"]["voc_v"][:2] == pytest.approx(list(own.voc_v[:2]), abs=2e-3)
        assert jv["jv"]["jsc_a"][:2] == pytest.approx(list(own.jsc_a[:2]), rel=5e-3)
        assert jv["dark"]["offset_a"] == pytest.approx(float(run.results.dark.offset_a), abs=2e-12)
    assert set(facets["diffraction"]) == {"active", "control"}
    assert facets["diffraction"]["active"]["name"] == ["100", "110"]
    assert sum(facets["cause"]["probability"]) == pytest.approx(1.0)


def test_a_replay_concludes_the_same(run_file: Path, tmp_path: Path) -> None:
    again = replay(RunRequest(recipe=RECIPE, out=tmp_path), run_file)
    assert again.run_file is not None
    with open_run(run_file) as one, open_run(again.run_file) as other:
        for group, name in (("jv", "voc_v"), ("jv", "fill_factor"), ("cause", "probability"), ("ebic", "ebic_a")):
            first, second = getattr(one.results, group)[name], getattr(other.results, group)[name]
            assert np.array_equal(np.asarray(first), np.asarray(second), equal_nan=True), (group, name)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("sweep.high_v=2.5", "sweep goes to 2.5 V"),
        ("sweep={low_v: 1.0, high_v: 0.5}", "exchange them"),
        ("sweep.low_v=0.1", "leave out 0 V"),
        ("bias.limit_v=50", "bias.limit_v"),
        ("bias.compliance_a=-1e-9", "bias.compliance_a"),
        ("facets=[]", "facets"),
        ("facets=[{name: a, spacing_m: 2e-10}]", "can't be seen with pixels"),
        ("light_w_per_m2=2000", "light_w_per_m2: found 2000"),
        ("control={dx_m: 0.0, dy_m: 5e-8}", "within one picture"),
        ("control={dx_m: 0.0, dy_m: 2e-5}", "the image shift reaches"),
        ("dose.limit_e_per_a2=5", "dose.limit_e_per_a2"),
    ],
)
def test_what_can_not_be_run_is_told_before_anything(override: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        play(tmp_path / "out", override)
    assert told in refused.value.message
    assert len(refused.value.message) <= 300
    assert not (tmp_path / "out").exists()


def test_a_light_that_no_instrument_has_is_told(tmp_path: Path) -> None:
    from cryoctl.launch.run import run

    with pytest.raises(BadInput, match="light"):
        run(RunRequest(recipe=RECIPE, out=tmp_path / "out", seed=1))
