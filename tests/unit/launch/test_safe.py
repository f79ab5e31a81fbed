"""One run at a time on an instrument, `safe` from outside, and an abort before the first step."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cryoctl.cli.main import call
from cryoctl.errors import BadInput, OperatorStop, SafeStateUnconfirmed
from cryoctl.launch.instrument_lock import InstrumentInUse, InstrumentLock
from cryoctl.launch.person import person
from cryoctl.launch.request import Follower
from cryoctl.launch.safe import make_safe
from cryoctl.runfile.journal import read_journal
from cryoctl.runfile.parts import RunParts
from cryoctl_simulators.devices.beam import SimulatedBeam
from cryoctl_simulators.world.world_file import WorldFile
from tests.runs.small_runs import play, run_file


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def test_a_second_run_in_a_world_is_refused_by_name_and_writes_nothing(tmp_path: Path) -> None:
    world = tmp_path / "shared.world"
    lock = InstrumentLock.of_world(world)
    with lock:
        lock.used_by(tmp_path / "out" / "wire_1_001.nxs")
        with pytest.raises(InstrumentInUse) as refused:
            play(tmp_path / "new", world=world)
    assert "run wire_1_001" in refused.value.message
    assert "cryoctl tell" in refused.value.message
    assert len(refused.value.message) <= 300
    assert list(tmp_path.iterdir()) == []


def test_the_lock_dies_with_its_owner_however_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys, pathlib; from cryoctl.launch.instrument_lock import InstrumentLock\n"
    script += (
        "InstrumentLock.of_world(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    world = tmp_path / "w.bin"
    lock = InstrumentLock.of_world(world)
    other = subprocess.Popen([sys.executable, "-c", script, str(world)], stdin=-1, stdout=-1, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(InstrumentInUse, match=f"process {other.pid} has it"):
        lock.acquire()
    assert lock.taken
    world.write_bytes(b"")
    monkeypatch.setattr("cryoctl_simulators.world.world.World.check", lambda self: None)
    with pytest.raises(SafeStateUnconfirmed, match=f"process {other.pid}"):
        make_safe("simulated", world, patience_s=0.2)
    other.kill()
    other.communicate()
    with lock:
        assert lock.taken
    assert not lock.taken


class Aborting(Follower):
    """Asks for the end while the devices connect."""

    def __init__(self) -> None:
        self.ask: Any = None

    def listen(self, ask: Any) -> None:
        self.ask = ask
        ask("abort", "SIGTERM", "", "anna@lab")


def test_an_abort_while_the_devices_connect_ends_it_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def for_ever(self: Any) -> Any:
        await asyncio.sleep(1e6)

    monkeypatch.setattr(SimulatedBeam, "connect", for_ever)
    with pytest.raises(OperatorStop, match=r"SIGTERM.*nothing was moved"):
        play(tmp_path, on_control=Aborting().listen)
    assert list(tmp_path.iterdir()) == []


class Early(Follower):
    def listen(self, ask: Any) -> None:
        for text in ("ice on the left", "and on the right"):
            ask("note", "tell", text, "anna@lab")


def test_who_said_what_and_how_stands_in_the_journal_and_in_the_events(tmp_path: Path) -> None:
    """Said before the run could take it; the beginning itself with its overrides is told as well."""
    result = play(tmp_path, "tilts={scheme: list, list_deg: [0, 10]}", on_control=Early().listen)
    records = read_journal(RunParts.beside(run_file(result)).journal)
    head = records[0]
    assert head["overrides"][-1] == "tilts={scheme: list, list_deg: [0, 10]}"
    assert head["host"]
    commands = [
        {key: one[key] for key in ("command", "source", "text", "who")} for one in records if one["k"] == "command"
    ]
    notes = [one for one in commands if one["command"] == "note"]
    assert [one["text"] for one in notes] == ["ice on the left", "and on the right"]
    assert all((one["source"], one["who"]) == ("tell", "anna@lab") for one in notes)
    (begun,) = (one for one in commands if one["command"] == "run")
    assert "--set tilts=" in begun["text"]
    assert begun["who"] == person()
    from cryoctl import open_run

    with open_run(run_file(result)) as run:
        said = [
            message for event, message in zip(run.events.event, run.events.message, strict=True) if event == "operator"
        ]
    assert len(said) == 3
    shown = result.summary["operator"]
    assert [one["command"] for one in shown] == ["note", "note", "run"]
    assert shown[1]["who"] == "anna@lab"
    assert "operator (tell, anna@lab): note and on the right" in said


def left_open(world: Path) -> None:
    """A world whose run was torn away with the output of the source on and the beam open."""
    record = WorldFile.open(world)
    record.record["bias"] |= {"output_on": True, "voltage_v": 5.0}
    record.record["beam"]["blanked"] = False
    record.commit()


def test_safe_brings_a_world_to_rest_and_prints_each_action(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = tmp_path / "w.bin"
    play(tmp_path, "tilts={scheme: list, list_deg: [0, 10]}", world=world)
    left_open(world)
    assert call(["safe", "--world", str(world), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in answer["actions"]][:2] == ["blank the beam", "stop the stage"]
    assert all(one["confirmed"] for one in answer["actions"])
    record = WorldFile.open(world).record
    assert record["beam"]["blanked"]
    assert not record["bias"]["output_on"]
    assert call(["safe", "--world", str(world)]) == 0
    assert capsys.readouterr().out.count("confirmed") == len(answer["actions"])


def test_safe_says_what_it_could_not_confirm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def silent(self: Any) -> Any:
        raise RuntimeError("no answer")

    monkeypatch.setattr(SimulatedBeam, "connect", silent)
    assert call(["safe"]) == 6
    seen = capsys.readouterr()
    assert "NOT CONFIRMED  blank the beam" in seen.out
    assert "confirmed      bias to rest" in seen.out
    assert "go to the microscope" in seen.err


@pytest.mark.parametrize("arguments", [["--world", "absent.bin"], ["nosuch"]])
def test_safe_refuses_what_is_not_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["safe", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_safe_knows_no_world_of_a_real_instrument(tmp_path: Path) -> None:
    from cryoctl.registry import find

    text = Path(str(find("cryoctl.instruments", "simulated"))).read_text(encoding="utf-8")
    file = tmp_path / "real.yaml"
    file.write_text(text.replace("clock: virtual", "clock: real"), encoding="utf-8")
    with pytest.raises(BadInput, match="is a real instrument"):
        make_safe(file, tmp_path / "w.bin")
