"""What `run` tells at the end is what `show` reads from the file later, number by number and in the same order."""

from __future__ import annotations

from pathlib import Path

from cryoctl import open_run
from cryoctl.cli import summary_text
from cryoctl.runfile.summary import summary_of
from tests.runs.small_runs import play, run_file

KNOWN_ONLY_TO_THE_PROCESS = {"wall_s", "warnings"}


def test_a_run_tells_what_show_tells_later(tmp_path: Path) -> None:
    result = play(tmp_path, "edx.elements=[Si, O]")
    shown = summary_of(run_file(result))
    assert set(result.summary) - set(shown) == {"warnings"}
    for key in set(shown) - KNOWN_ONLY_TO_THE_PROCESS:
        assert result.summary[key] == shown[key], key
    assert list(shown["counts"]) == ["Si", "O"]
    told = dict(summary_text.rows_of(result.summary))
    assert told["net counts"] == dict(summary_text.rows_of(shown))["net counts"]
    with open_run(run_file(result)) as run:
        assert run.edx.elements == ("Si", "O")
