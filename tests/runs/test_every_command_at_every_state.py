"""Whatever the operator says, wherever the protocol is: the right end, the beam blanked, the wish in the journal."""

from __future__ import annotations

from functools import cache

import pytest

from cryoctl.engine.ending import Ending
from cryoctl.registry import find
from tests.runs.operated_run import EVERY_STATE, Operated

NEVER = ("give_up", "limit_reached", "hold", "leave")
"""States that a run without trouble does not enter."""
AFTER_S = (pytest.param(0.0, marks=pytest.mark.campaign), 0.4)
"""On entering the state, and in the midst of what it does."""
COMMANDS = ("pause", *(pytest.param(one, marks=pytest.mark.campaign) for one in ("go", "ack", "note")))
LEAVING = ("prepare", "record", "image_shift")
"""Where the suite tries skip and stop-after; the campaign does everywhere."""


def states(protocol: str) -> list[str]:
    return [state for state in find("cryoctl.protocols", protocol).chart.states if state not in NEVER]


LONG = "calibrate"
"""Takes seconds a case: the suite aborts it where it leaves, the campaign everywhere."""


EVERYWHERE = [
    pytest.param(
        protocol,
        state,
        id=f"{protocol}-{state}",
        marks=[pytest.mark.campaign] if protocol == LONG and state not in LEAVING else [],
    )
    for protocol in EVERY_STATE
    for state in states(protocol)
]


@cache
def plain(protocol: str) -> tuple[Ending, tuple[str, ...]]:
    """End of a run that nobody speaks to, and the states that it enters."""
    run = Operated(protocol)
    ending = run.play()
    return ending, tuple(record["state"] for record in run.of("state"))


@pytest.mark.parametrize("protocol", EVERY_STATE)
def test_the_recipe_goes_through_every_state(protocol: str) -> None:
    ending, entered = plain(protocol)
    assert ending.exit_code == 0
    assert set(states(protocol)) <= set(entered)


def told(run: Operated) -> list[str]:
    return [record["command"] for record in run.of("command")]


@pytest.mark.parametrize(("protocol", "state"), EVERYWHERE)
@pytest.mark.parametrize("after_s", AFTER_S)
def test_abort(protocol: str, state: str, after_s: float) -> None:
    def at_state(run: Operated, entered: str, visit: int) -> None:
        if entered == state and visit == 1:
            run.say("abort", after_s)

    run = Operated(protocol, at_state)
    ending = run.play()
    asked = run.of("command")
    if not asked:  # the state is over before
        assert ending == plain(protocol)[0]
        return
    assert (ending.exit_code, ending.reason) == (3, "operator")
    assert run.blanked
    assert not run.world.stage.record["moving"]
    assert told(run) == ["abort"]
    (secured,) = run.of("safe_state")
    assert all(action["confirmed"] for action in secured["actions"])
    (securing,) = (record for record in run.of("status") if record["status"] == "securing")
    assert securing["t"] - asked[0]["t"] <= 0.1
    assert [record["outcome"] for record in run.of("result")][-1:] != ["lost"]


@pytest.mark.parametrize("protocol", EVERY_STATE)
@pytest.mark.parametrize("after_s", AFTER_S)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_ends_nothing_changes_nothing(protocol: str, command: str, after_s: float) -> None:
    """At every state of one run. A pause counts within a second, but of an exposure under way, and always blanked."""
    if (protocol, command) == ("biased-series", "pause"):
        pytest.skip("a pause rests the source, which ends that series: see test_biased_runs")
    open_while_paused: list[str] = []

    def at_state(run: Operated, entered: str, visit: int) -> None:
        if visit == 1 and entered in states(protocol):
            run.say(command, after_s)

    def on_status(run: Operated, status: str) -> None:
        if status == "paused":
            if not run.blanked:
                open_while_paused.append(status)
            run.say_from_outside("go")

    run = Operated(protocol, at_state, on_status)
    ending = run.play()
    assert (ending.reason, ending.exit_code) == ("completed", 0)
    assert [record["state"] for record in run.of("state")] == list(plain(protocol)[1])
    assert open_while_paused == []
    assert run.blanked
    asked = [record for record in run.of("command") if record["command"] == command]
    assert command == "go" or len(asked) >= len(states(protocol)) - 1
    if command == "pause":
        paused_s = [record["t"] for record in run.of("status") if record["status"] == "paused"]
        exposures = [
            (one["row"]["time_s"], one["row"]["time_s"] + one["row"]["duration_s"]) for one in run.of("exposed")
        ]
        for wish in asked:
            late_s = min((when - wish["t"] for when in paused_s if when >= wish["t"]), default=0.0)
            exposed = any(began <= wish["t"] + 0.1 and wish["t"] <= over for began, over in exposures)
            assert late_s <= 1.0 or exposed, wish


@pytest.mark.parametrize(
    ("protocol", "state"),
    [("edx-tomography", state) for state in ("locate", "record")] + [("calibrate", "height")],
)
def test_blank_stops_an_exposure_at_once_and_after_go_the_protocol_goes_on(protocol: str, state: str) -> None:
    """In the midst of the first exposure of a state; what a protocol makes of the partial result is its own."""
    wishes: list[float] = []
    closed: list[tuple[float, bool]] = []

    def on_status(run: Operated, status: str) -> None:
        if status == "paused":
            closed.append((run.records[-1]["t"], run.blanked))
            run.say_from_outside("go")

    run = Operated(protocol, on_status=on_status)
    append = run.append

    def noted(kind: str, fields: dict[str, object], *, t: float, sync: bool = False) -> None:
        append(kind, fields, t=t, sync=sync)
        row = fields.get("row")
        if kind == "intent" and isinstance(row, dict) and row["state"] == state and not wishes:
            half_s = float(row["duration_s"]) / 2
            wishes.append(t + half_s)
            run.say("blank", half_s)

    run.append = noted  # type: ignore[method-assign]
    ending = run.play()
    assert run.blanked
    assert ending.exit_code in (0, 4)
    partial = {one["exposure"] for one in run.of("exposed") if one["row"]["outcome"] == "partial"}  # some charged again
    assert len(partial) == 1
    (wish_s,) = wishes
    assert min(when for when, _ in closed if when >= wish_s) - wish_s <= 0.1
    assert all(blanked for _, blanked in closed)


@pytest.mark.parametrize(
    ("protocol", "state"),
    [
        pytest.param(*one.values, id=one.id, marks=() if one.values[1] in LEAVING else pytest.mark.campaign)
        for one in EVERYWHERE
    ],
)
@pytest.mark.parametrize("command", ["skip", "stop-after"])
def test_skip_and_stop_after_act_at_the_next_checkpoint(protocol: str, state: str, command: str) -> None:
    def at_state(run: Operated, entered: str, visit: int) -> None:
        if entered == state and visit == 1:
            run.say(command)

    run = Operated(protocol, at_state)
    ending = run.play()
    assert run.blanked
    asked = run.records.index(run.of("command")[0])
    heard = [
        record["result"]["command"]
        for record in run.records[asked:]
        if record["k"] == "result" and (record["result"] or {}).get("is") == "Command"
    ]
    if not heard:
        assert ending == plain(protocol)[0]
    elif command == "stop-after":
        assert heard[0] == command
        assert (ending.exit_code, ending.reason) == (3, "operator")
    else:
        assert heard[0] == command
        assert (ending.exit_code, ending.reason) in ((4, "target-lost"), (0, "completed"))
