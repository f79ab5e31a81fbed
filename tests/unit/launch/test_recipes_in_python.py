"""Operators' scripts: a Python file with one generator function or one protocol class is a recipe."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import cryoctl
from cryoctl.errors import BadInput, RecipeError
from cryoctl.launch.recipes import read_recipe

SCRIPT = '''"""Waits, and says so."""
from cryoctl.steps import Conclude, UseOptics, Wait


def _helper():
    yield from Wait(duration_s=1.0, reason="helping")


def rest(interval_s: float = 30.0, dose_limit_e_per_a2: float = 50.0, times: int = 2):
    yield from UseOptics(name="record")
    yield from _helper()
    for _ in range(times):
        waited = yield from Wait(duration_s=interval_s, reason="resting")
    yield from Conclude(name="rest", values={"until_s": waited.time_s})
'''


def script(folder: Path, text: str = SCRIPT) -> Path:
    path = folder / "rest.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_arguments_of_a_script_are_its_parameters_with_units(tmp_path):
    raw, protocol = read_recipe(str(script(tmp_path)), ("interval_s=2 min",))
    parameters = protocol.Parameters.model_validate(raw.parameters)
    assert parameters.model_dump() == {"interval_s": 120.0, "dose_limit_e_per_a2": 50.0, "times": 2}
    assert raw.text == SCRIPT


def test_a_script_runs_and_replays(tmp_path):
    recipe = script(tmp_path)
    result = cryoctl.run(recipe, out=tmp_path / "runs", set={"interval_s": "1 min", "times": 3})
    assert result.exit_code == 0
    assert result.summary["results"]["rest"]["until_s"] == pytest.approx(183.0, abs=1.0)
    assert result.summary["predicted"]["duration_s"] == pytest.approx(result.summary["duration_s"], rel=0.01)
    assert result.summary["dose"]["limit"] == 50.0


def test_python_runs_where_a_loop_is_running(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = script(tmp_path)

    async def cell() -> int:
        return cryoctl.rehearse(recipe, set={"interval_s": 5.0}).exit_code

    assert asyncio.run(cell()) == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rest.py"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "found neither"),
        (SCRIPT + "\ndef other():\n    yield\n", "found rest, other"),
        ("import nowhere_to_be_found\n", "rest.py:1: .*ModuleNotFoundError"),
        ("def rest(:\n", "rest.py:1: .*SyntaxError"),
        (SCRIPT.replace("times: int", "times: 'Sekunden'"), "arguments of rest can't be parameters"),
        (SCRIPT + "\nraise RuntimeError('halt')\n", "rest.py:16: .*halt"),
    ],
)
def test_what_is_no_script_is_refused_in_one_sentence(tmp_path, text, said):
    with pytest.raises(BadInput, match=said) as refused:
        read_recipe(str(script(tmp_path, text)), ())
    assert len(str(refused.value)) <= 300


def test_unknown_fields_of_a_script_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="did you mean 'interval_s'"):
        cryoctl.rehearse(script(tmp_path), set={"interval": 3})
