"""`cryoctl devices --check`: the contract suites on the devices of an instrument file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cryoctl.cli.devices import app
from cryoctl_simulators.devices.holder import SimulatedHolder


def checked(*arguments: str) -> tuple[int, Any]:
    answer = CliRunner().invoke(app, ["devices", "--check", "--json", *arguments])
    return answer.exit_code, json.loads(answer.stdout)


def test_nothing_moves_unless_it_was_agreed_to() -> None:
    code, told = checked("--only", "holder")
    assert code == 0
    outcomes = {one["check"]: one["outcome"] for one in told["checks"]}
    assert outcomes["reads plausibly"] == "passed"
    assert outcomes["goes to its set point"] == "skipped"


def test_agreed_to_all_of_it_is_done() -> None:
    code, told = checked("--only", "holder", "--yes")
    assert code == 0
    assert {one["outcome"] for one in told["checks"]} == {"passed"}


def test_a_device_that_breaks_its_contract_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def anything(self: Any, temperature_k: float) -> None:
        del self, temperature_k

    monkeypatch.setattr(SimulatedHolder, "set_temperature", anything)
    code, told = checked("--only", "holder", "--yes")
    assert code == 1
    failed = [one["check"] for one in told["checks"] if one["outcome"] == "failed"]
    assert failed == ["goes to its set point", "out of range changes nothing"]
