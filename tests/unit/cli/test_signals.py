from __future__ import annotations

import signal
import sys

import pytest

from cryoctl.cli.signals import SignalDesk, handlers_restored
from cryoctl.errors import OperatorStop
from cryoctl.events import Event


class Desk:
    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.who = ""
        self.said: list[str] = []
        self.desk = SignalDesk(
            self.said.append, lambda: "`cryoctl tell x.nxs go`", clock=lambda: self.now, who="anna@lab"
        )

    def ask(self, command: str, source: str, text: str, who: str) -> None:
        self.asked.append(command)
        self.who = who


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_ctrl_c_pauses_and_says_how_to_go_on(desk: Desk) -> None:
    with handlers_restored():
        desk.desk.listen(desk.ask)
        signal.raise_signal(signal.SIGINT)
    assert desk.asked == ["pause"]
    assert "cryoctl tell x.nxs go" in desk.said[0]


def test_twice_within_ten_seconds_blanks_at_once_and_a_third_time_aborts(desk: Desk) -> None:
    with handlers_restored():
        desk.desk.listen(desk.ask)
        desk.desk.interrupt()
        desk.now = 9.0
        desk.desk.interrupt()
        desk.now = 500.0
        desk.desk.interrupt()
    assert desk.asked == ["pause", "blank", "abort"]
    assert desk.who == "anna@lab"
    assert "goes on" in desk.said[1]


def test_slowly_pressed_it_only_pauses_until_the_third(desk: Desk) -> None:
    with handlers_restored():
        desk.desk.listen(desk.ask)
        for desk.now in (0.0, 20.0, 40.0):
            desk.desk.interrupt()
    assert desk.asked == ["pause", "pause", "abort"]
    assert "again aborts" in desk.said[1]


def told(event: str, name: str) -> Event:
    return Event(event=event, time_s=1.0, level="info", name=name, message=name)


def test_pressed_while_aborting_it_says_what_goes_on(desk: Desk) -> None:
    with handlers_restored():
        desk.desk.listen(desk.ask)
        desk.desk.event(told("operator", "abort"))
        for _ in range(4):
            desk.desk.interrupt()
    assert desk.asked == []
    assert all("already aborting" in said for said in desk.said)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM handlers to raise")
def test_while_the_file_is_written_no_signal_tears_it_and_none_is_lost(desk: Desk) -> None:
    with handlers_restored():
        desk.desk.listen(desk.ask)
        desk.desk.event(told("end", "completed"))
        for name in ("SIGINT", "SIGINT", "SIGINT", "SIGTERM", "SIGHUP"):
            signal.raise_signal(getattr(signal, name))
    assert desk.asked == []
    assert desk.desk.late == ["Ctrl-C"] * 3 + ["SIGTERM", "SIGHUP"]
    assert all("is being written" in said for said in desk.said)


def test_of_a_resumed_run_the_end_of_the_earlier_session_is_not_the_end(desk: Desk) -> None:
    with handlers_restored():
        desk.desk.listen(desk.ask)
        for event in (told("operator", "abort"), told("end", "operator"), told("note", "resume")):
            desk.desk.event(event)
        desk.desk.interrupt()
    assert desk.asked == ["pause"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM handlers to raise")
def test_before_anything_began_being_terminated_ends_the_command(desk: Desk) -> None:
    with handlers_restored():
        desk.desk.install()
        with pytest.raises(OperatorStop, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)


def test_after_going_on_it_pauses_again(desk: Desk) -> None:
    went_on = Event(event="operator", time_s=1.0, level="info", name="go", message="go")
    with handlers_restored():
        desk.desk.listen(desk.ask)
        for desk.now in (0.0, 100.0, 200.0):
            desk.desk.interrupt()
            desk.desk.event(went_on)
    assert desk.asked == ["pause"] * 3


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM handlers to raise")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_being_ended_aborts(desk: Desk, name: str) -> None:
    with handlers_restored():
        desk.desk.listen(desk.ask)
        signal.raise_signal(getattr(signal, name))
    assert desk.asked == ["abort"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_nohup_is_respected(desk: Desk) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handlers_restored():
            desk.desk.listen(desk.ask)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back(desk: Desk) -> None:
    before = signal.getsignal(signal.SIGINT)
    with handlers_restored():
        desk.desk.listen(desk.ask)
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) is before


def test_before_the_run_listens_ctrl_c_is_an_ordinary_interrupt(desk: Desk) -> None:
    with pytest.raises(KeyboardInterrupt):
        desk.desk.interrupt()
