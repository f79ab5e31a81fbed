from __future__ import annotations

import dataclasses
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryoctl.errors import BadInput, FileProblem
from cryoctl.events import Event
from cryoctl.launch.control_client import NobodyAnswers, ask, listening
from cryoctl.launch.control_server import ControlServer
from cryoctl.launch.person import person
from cryoctl.launch.request import Outlook

OUTLOOK = Outlook(
    duration_s=100.0,
    peak_dose_e_per_a2=900.0,
    limit_e_per_a2=1000.0,
    bytes=10,
    disk_free_bytes=1000,
    nitrogen_left_s=float("nan"),
    finish_time="2026-11-21T15:00+00:00",
    frames=4,
)


class Heard(list[tuple[str, str, str]]):
    who = ""

    def __call__(self, command: str, source: str, text: str, who: str) -> None:
        self.append((command, source, text))
        self.who = who


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "wire_1_001.parts").mkdir()
    return tmp_path / "wire_1_001.nxs"


@pytest.fixture
def server(run: Path) -> Iterator[ControlServer]:
    control = ControlServer(run.parent)
    control.begin({"run": "wire_1_001", "title": "A wire", "run_file": str(run)}, OUTLOOK)
    yield control
    control.close()


def event(kind: str, name: str = "", message: str = "", **data: float | str) -> Event:
    return Event(event=kind, time_s=12.0, level="info", name=name, message=message, data=data)


def test_a_command_reaches_the_run_and_is_acknowledged(server: ControlServer, run: Path) -> None:
    heard = Heard()
    server.listen(heard)
    answer = ask(run, "note", "ice on the left")
    assert answer["ok"]
    assert heard == [("note", "tell", "ice on the left")]
    assert heard.who == person()


def test_status_tells_what_the_events_told(server: ControlServer, run: Path) -> None:
    server.event(event("status", "running", "running"))
    server.event(event("state", "record", "Recording"))
    server.event(event("exposure", "record", "", peak_e_per_a2=250.0))
    server.event(event("frame", "wire", "frame 0"))
    server.event(event("progress", "", "tilt 1 of 4", progress=0.25))
    answer = ask(run, "status")
    assert answer["status"] == "running"
    assert answer["label"] == "Recording"
    assert answer["frames"] == 1
    assert answer["frames_planned"] == 4
    assert answer["progress"] == 0.25
    assert answer["dose"] == {"peak": 250.0, "limit": 1000.0, "left": 750.0}


def test_status_by_name_without_ending_and_by_parts_folder(server: ControlServer, run: Path) -> None:
    assert ask(run.with_suffix(""), "status")["run"] == "wire_1_001"
    assert ask(run.with_suffix(".parts"), "status")["run"] == "wire_1_001"


def test_a_pause_shows_as_asked_until_it_acts(server: ControlServer, run: Path) -> None:
    for kind, name, status, asked in (
        ("status", "running", "running", ""),
        ("operator", "pause", "running", "pause"),
        ("status", "paused", "paused", ""),
        ("operator", "blank", "paused", ""),
        ("operator", "go", "paused", ""),
        ("status", "running", "running", ""),
    ):
        server.event(event(kind, name, name))
        answer = ask(run, "status")
        assert (answer["status"], answer["asked"]) == (status, asked)


def test_an_alarm_stands_until_it_is_acknowledged(server: ControlServer, run: Path) -> None:
    server.listen(Heard())
    with pytest.raises(BadInput, match="no alarm"):
        ask(run, "ack")
    alarm = dataclasses.replace(event("interlock", "vacuum", "column at 1 Pa"), level="warning")
    server.event(alarm)
    assert ask(run, "status")["alarm"] == "column at 1 Pa"
    assert ask(run, "ack")["ok"]
    server.event(event("operator", "ack", "operator (tell): ack"))
    assert ask(run, "status")["alarm"] == ""


def test_while_it_connects_it_already_listens(run: Path) -> None:
    control, heard = ControlServer(run.parent), Heard()
    control.named(run)
    control.listen(heard)
    try:
        answer = ask(run, "status")
        assert (answer["status"], answer["step"]) == ("preparing", "connecting")
        assert "before its first step" in ask(run, "pause")["message"]
        assert "blanked now" in ask(run, "abort")["message"]
        control.begin({"run": "wire_1_001", "title": "A wire", "run_file": str(run)}, OUTLOOK)
        assert ask(run, "status")["frames_planned"] == 4
    finally:
        control.close()
    assert [one[0] for one in heard] == ["pause", "abort"]


def test_while_the_file_is_written_it_says_so(server: ControlServer, run: Path) -> None:
    heard = Heard()
    server.listen(heard)
    server.event(event("end", "completed", "completed"))
    assert ask(run, "status")["step"] == "writing the run file"
    assert "its file is being written" in ask(run, "abort")["message"]
    with pytest.raises(BadInput, match="has ended and is safe"):
        ask(run, "note", "too late")
    assert heard == []


def test_an_unknown_command_is_refused_in_one_sentence(server: ControlServer, run: Path) -> None:
    server.listen(Heard())
    with pytest.raises(BadInput, match="not one of pause, blank, go"):
        ask(run, "explode")


def test_before_the_run_listens_a_command_is_refused(server: ControlServer, run: Path) -> None:
    with pytest.raises(BadInput, match="does not listen yet"):
        ask(run, "pause")


def test_without_the_token_nothing_is_done(server: ControlServer, run: Path) -> None:
    heard = Heard()
    server.listen(heard)
    said = json.loads((run.with_suffix(".parts") / "control.json").read_text())
    with socket.create_connection(("127.0.0.1", said["port"]), timeout=1) as link:
        link.sendall(b'{"token": "guess", "command": "abort"}\n')
        answer = json.loads(link.makefile("rb").readline())
    assert not answer["ok"]
    assert heard == []


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"nonsense\n", b'{"command": "pause"}\n', b"\xff\xfe\n", b"3\n"])
def test_nonsense_is_answered_and_does_no_harm(server: ControlServer, run: Path, line: bytes) -> None:
    heard = Heard()
    server.listen(heard)
    assert not server.answer(line)["ok"]
    assert heard == []
    assert ask(run, "status")["ok"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_the_owner_can_read_the_token(server: ControlServer, run: Path) -> None:
    mode = stat.S_IMODE((run.with_suffix(".parts") / "control.json").stat().st_mode)
    assert mode == 0o600


def test_at_the_end_the_file_is_gone_and_tell_says_so(server: ControlServer, run: Path) -> None:
    run.write_bytes(b"")
    server.end({"status": "completed"})
    assert not (run.with_suffix(".parts") / "control.json").exists()
    with pytest.raises(NobodyAnswers, match="has ended"):
        ask(run, "pause")
    server.close()


def test_a_killed_run_is_told_apart_from_one_that_ended(run: Path) -> None:
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    said = {"port": port, "token": "x", "pid": 1, "host": socket.gethostname()}
    (run.with_suffix(".parts") / "control.json").write_text(json.dumps(said))
    with pytest.raises(NobodyAnswers, match="killed or hangs"):
        ask(run, "pause")
    assert listening(run.parent) == []


def test_a_stranger_on_the_old_port_is_not_taken_for_the_run(server: ControlServer, run: Path) -> None:
    file = run.with_suffix(".parts") / "control.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"token": "of an earlier run"}))
    with pytest.raises(NobodyAnswers, match="not this run"):
        ask(run, "status")


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="no run of this name"):
        ask(tmp_path / "nothing.nxs", "status")


def test_running_runs_of_a_folder_are_found(server: ControlServer, run: Path) -> None:
    (found, answer), *others = listening(run.parent)
    assert found == run
    assert answer["run"] == "wire_1_001"
    assert not others


def test_many_operators_at_once(server: ControlServer, run: Path) -> None:
    heard = Heard()
    server.listen(heard)
    threads = [threading.Thread(target=ask, args=(run, "note", str(n))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(text) for _, _, text in heard) == list(range(12))


def test_parts_of_this_run_are_told_to_the_caller(run: Path) -> None:
    told: list[Path] = []
    control = ControlServer(run.parent, on_parts=told.append)
    control.begin({"run": "wire_1_001"}, OUTLOOK)
    control.close()
    assert told == [run.with_suffix(".parts")]
