"""Plays one case in this process and judges it; what each process of the pool does."""

from __future__ import annotations

import asyncio
import math
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryoctl.errors import CryoctlError
from cryoctl.events import Event
from cryoctl.launch.inventory import faults as catalogue
from cryoctl.launch.request import Follower, Outlook
from cryoctl.launch.run import carry_through, undertake
from cryoctl.launch.undertaking import RecordedCommand, Undertaking
from cryoctl.streaming.sink import Picture
from cryoctl.testing.campaign.case import Case, CaseFolder, Verdict, write_faults, write_plan
from cryoctl.testing.campaign.drawing import Plan, chance, drawn_commands
from cryoctl.testing.campaign.evidence import acknowledged, of_file, of_world
from cryoctl.testing.campaign.faults import Course, Fault, drawn_faults, of_instrument
from cryoctl.testing.campaign.judge import Evidence, judge

_LOOK_S = 0.002
_UNFORETOLD: Mapping[str, tuple[float, int]] = {"chip-biasing": (75.0, 16), "needle-biasing": (400.0, 95)}
"""By protocol: run time (s) and exposures within which faults and commands are drawn where what pictures show decides
on both."""


def prepare_case(folder: CaseFolder, plan: Plan, faults: Sequence[Fault] | None = None) -> Case:
    """Write the case down: with these faults and no commands, or (None) with both as drawn for its seed.

    Raises:
        BadInput: its recipe is refused.
    """
    write_plan(folder, plan)
    bare = Case(seed=plan.seed, protocol=plan.protocol, overrides=plan.overrides, faults=(), commands=())
    bare.save(folder)
    course = course_of(undertake(bare.request(folder)))
    if faults is None:
        there = of_instrument(catalogue(), plan.kinds())
        faults = drawn_faults(chance(plan.seed, plan.protocol, "faults"), there, course)
        commands = drawn_commands(chance(plan.seed, plan.protocol, "commands"), course.duration_s)
    else:
        commands = ()
    case = replace(bare, faults=tuple(faults), commands=commands, duration_s=course.duration_s)
    write_faults(folder, case.faults)
    case.save(folder)
    return case


def course_of(ahead: Undertaking) -> Course:
    duration_s, exposures = ahead.outlook.duration_s, 4 + 3 * ahead.outlook.frames
    if math.isnan(duration_s):
        duration_s, exposures = _UNFORETOLD.get(ahead.dry.protocol.name, _UNFORETOLD["needle-biasing"])
    return Course(states=tuple(ahead.dry.protocol.chart.states), duration_s=duration_s, exposures=exposures)


class GoesOn(Follower):
    """An operator who goes on as soon as a pause has taken hold: then virtual time waits for a person.

    `ask` comes with `on_control`; asked for from a thread of its own, as `cryoctl tell` does.
    """

    def __init__(self) -> None:
        self._ask: Any = None
        self._over = threading.Event()

    def listen(self, ask: Any) -> None:
        self._ask = ask

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None: ...

    def picture(self, picture: Picture) -> None: ...

    def event(self, event: Event) -> None:
        if event.event == "operator" and event.name == "pause":
            loop: Any = asyncio.get_running_loop()
            threading.Thread(target=self._go, args=(loop,), daemon=True).start()

    def end(self, summary: Mapping[str, Any]) -> None:
        self.close()

    def close(self) -> None:
        self._over.set()

    def _go(self, loop: Any) -> None:
        while not self._over.wait(_LOOK_S):
            if loop.patient:
                self._ask("go", "campaign")
                return


def play_case(folder: CaseFolder, plan: Plan, faults: Sequence[Fault] | None = None) -> Verdict:
    """Draw, play and judge; the verdict is in the folder as well."""
    told: dict[str, Any]
    try:
        told = _play(prepare_case(folder, plan, faults), folder)
    except CryoctlError as refused:
        told = {"exit_code": refused.exit_code, "end_reason": "", "message": refused.message}
    except Exception as error:
        told = {"exit_code": 5, "end_reason": "", "message": "", "crash": _last_place(error)}
    verdict = judged(folder, Case.load(folder), told)
    verdict.save(folder)
    return verdict


def _play(case: Case, folder: CaseFolder) -> dict[str, Any]:
    commands = tuple(RecordedCommand(time_s=time_s, command=command) for time_s, command in case.commands)
    operator = GoesOn()
    try:
        ahead = replace(undertake(case.request(folder)), commands=commands)
        result = carry_through(ahead, (operator,), operator.listen, 0.0)
    finally:
        operator.close()
    return {
        "exit_code": result.exit_code,
        "end_reason": str(result.summary["end_reason"] or ""),
        "message": str(result.summary["message"]),
    }


def judged(folder: CaseFolder, case: Case, told: Mapping[str, Any], kills: int = 0) -> Verdict:
    """What the case left, held against the rules. `told` is what its processes said: exit code, reason, message."""
    run_file = folder.run_file()
    if run_file is not None and not run_file.exists():
        run_file = None
    seen = {**of_world(case.request(folder), folder.world, run_file), **(of_file(run_file) if run_file else {})}
    evidence = Evidence(
        **seen,
        **told,
        acknowledged=acknowledged(folder.events),
        faults=case.faults,
        commands=tuple(command for _, command in case.commands),
        kills=kills,
    )
    return Verdict(
        exit_code=evidence.exit_code,
        end_reason=evidence.end_reason,
        message=evidence.message,
        violations=judge(evidence),
        run_file=None if run_file is None else str(run_file),
        kills=kills,
    )


def _last_place(error: Exception) -> str:
    """What was raised and the last place of cryoctl's own that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if "cryoctl" in one.filename] or list(frames)
    return f"{type(error).__name__}: {error} ({Path(own[-1].filename).name}:{own[-1].lineno})"
