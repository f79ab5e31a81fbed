from __future__ import annotations

import json

import numpy as np
import pytest

from cryoctl.cli import summary_text, wording
from cryoctl.cli.output import json_ready
from cryoctl.cli.progress import fraction_done, line_of
from cryoctl.events import Event
from cryoctl.launch.chart_graph import mermaid
from cryoctl.launch.snapshot import Snapshot
from cryoctl.protocol import Chart, Transition


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (12.34, "12.3 s"), (60.0, "1 min 00 s"), (3599.6, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1e6, "1 MB"), (12.34e9, "12.3 GB")])
def test_sizes(count: float, text: str) -> None:
    assert wording.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (float("nan"), "unknown"), (float("inf"), "no limit"), (0.52, "0.52 e-/A^2")],
)
def test_doses(value: float | None, text: str) -> None:
    assert wording.dose(value) == text


def test_json_knows_numpy_and_has_no_nan() -> None:
    value = {"a": np.float64("nan"), "b": np.arange(3), "c": (np.int32(4), float("inf")), "d": np.bool_(True)}
    assert json.loads(json.dumps(json_ready(value), allow_nan=False)) == {
        "a": None,
        "b": [0, 1, 2],
        "c": [4, None],
        "d": True,
    }


def test_a_summary_is_ascii_and_names_what_matters() -> None:
    rows = dict(
        summary_text.rows_of(
            {
                "status": "limited",
                "end_reason": "dose",
                "message": "the dose limit was met",
                "duration_s": 100.0,
                "frames": 3,
                "frames_skipped": 2,
                "bytes": 12345,
                "dose": {"limit": 1000.0, "peak": 990.0, "by_kind": {"record": 980.0, "shower": 0.0}},
                "counts": {"Si": 1234.5},
                "results": {"elongation": {"ratio": 1.2, "ratio_sigma": 0.1, "along_beam_m": 2e-7}},
                "interlocks": [{"time_s": 5.0, "name": "nitrogen", "outcome": "cleared"}],
            }
        )
    )
    assert rows["status"] == "limited (dose)"
    assert rows["dose peak"] == "990 e-/A^2 of 1,000 e-/A^2 (99 %)"
    assert rows["elongation"] == "ratio 1.2 +- 0.1, along beam 200 nm"
    assert "2 skipped" in rows["data"]
    assert "shower" not in rows["dose by kind"]
    "".join(rows.values()).encode("ascii")


def test_results_of_a_cell_and_of_a_contact_have_their_units() -> None:
    jv = {"when": ["before", "before", "after"], "voc_v": [1.0, 1.1, None], "jsc_a": [1e-10, 3e-10, 1e-10]}
    facets = {"name": ["100", "110", "100"], "rank": [2, 1, 0], "onset_s": [None, 90.0, None]}
    facets |= {"onset_s_low": [None, 80.0, None], "onset_s_high": [None, 99.0, None]}
    cause = {"name": "bias", "names": ["none", "bias"], "probability": [0.25, 0.75]}
    needle = {"found": 1, "dose_e_per_a2": 164.9}
    rate = {"asked_e_per_a2_s": 10.0}
    results = {"jv": jv, "facets": facets, "cause": cause, "contact": needle, "dose_rate": rate}
    rows = dict(summary_text.rows_of({"results": results}))
    assert rows["curves before"] == "Voc 1.05 V, Jsc 200 pA (mean of 2 sweeps)"
    assert rows["curves after"] == "Jsc 100 pA (mean of 1 sweep)"
    assert rows["facets fade"] == "110 at 90 s (80 to 99), then 100 (onset not seen)"
    assert rows["cause"] == "bias (none 25.0 %, bias 75.0 %)"
    assert rows["contact"] == "found yes, dose 164.9 e-/A^2"
    assert rows["dose rate"] == "asked 10 e-/A^2/s"


def test_unknown_dose_is_said() -> None:
    rows = dict(summary_text.rows_of({"dose": {"limit": None, "peak": None, "by_kind": {}}}))
    assert rows["dose peak"].startswith("unknown")


def test_progress_takes_the_protocol_at_its_word() -> None:
    now = Snapshot(predicted_s=100.0, frames_planned=10)
    now.event(Event(event="frame", time_s=20.0, level="info", name="", message=""))
    assert fraction_done(now) == pytest.approx(0.2)
    told = Event(event="progress", time_s=30.0, level="info", name="", message="tilt 6 of 10", data={"progress": 0.6})
    now.event(told)
    assert fraction_done(now) == pytest.approx(0.6)
    assert now.step == "tilt 6 of 10"


def test_log_lines_are_one_line() -> None:
    event = Event(event="fault", time_s=61.0, level="error", name="stage", message="stalled\nbadly")
    assert line_of(event, Snapshot()) == "[  1 min 01 s] error: stalled badly"


def test_a_graph_escapes_what_mermaid_can_not_take() -> None:
    chart = Chart(
        initial="begin",
        states=("begin", "end"),
        finals={"done": "completed"},
        transitions=(
            Transition(trigger="go", source="begin", dest="end", guard="is_ready"),
            Transition(trigger="skip", source="begin", dest="end"),
            Transition(trigger="over", source="end", dest="done"),
        ),
        labels={"begin": 'Say "hello": now'},
    )
    text = mermaid(chart)
    assert text.splitlines()[0] == "stateDiagram-v2"
    assert "state \"Say 'hello'; now\" as begin" in text
    assert "begin --> end_ : go [is ready] / skip" in text
    assert "done --> [*]" in text
    assert text.count("-->") == 4
