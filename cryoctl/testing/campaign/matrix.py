"""`--matrix`: every state of every protocol against every fault class, with the outcome seen, as a Markdown page."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cryoctl import registry
from cryoctl.errors import FileProblem
from cryoctl.launch.inventory import faults as catalogue
from cryoctl.protocol import Protocol
from cryoctl.testing.campaign.campaign import Campaign, Told, played, preload
from cryoctl.testing.campaign.case import Case, CaseFolder, Verdict
from cryoctl.testing.campaign.drawing import Plan, chance, plan_of, protocols
from cryoctl.testing.campaign.faults import KILL, Fault, class_of, of_instrument
from cryoctl.testing.campaign.pool import Processes, shared

_SCOUTS = 12
"""Undisturbed cases of a protocol that are looked through for its states; then disturbed ones."""
_MOST_SCOUTS = 60
_AT_A_TIME = 4
"""No more are looked through once all states are found."""

Progress = Callable[[int], AbstractContextManager[Callable[[Told], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A case that comes through some states; `lines` is what its events told, `faults` what led it there."""

    plan: Plan
    faults: tuple[Fault, ...]
    lines: tuple[str, ...]
    states: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A state and a fault class to be played."""

    protocol: str
    state: str
    fault: tuple[str, str]
    way: Way


@dataclass(slots=True, kw_only=True)
class Matrix:
    """`cells` by protocol, state and fault class; `unreached` are states that no case came through.

    `crossings` is how many there are, of which those in `cells` were played.
    """

    campaign: Campaign = field(default_factory=Campaign)
    cells: dict[tuple[str, str, tuple[str, str]], str] = field(default_factory=dict[Any, str])
    states: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    unreached: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    classes: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    crossings: int = 0


def play_matrix(page: Path, protocol: str, seed: int, progress: Progress, most: int | None = None) -> Matrix:
    """Find ways through all states, then play each with each fault; cases with violations are kept beside the page.

    Args:
        most: so many crossings are drawn by the seed and played; None for all.

    Raises:
        BadInput: there is no such protocol, or the page can't be written.
    """
    among = protocols(protocol)
    if not page.absolute().parent.is_dir():
        raise FileProblem(f"--matrix {page}: lies in a folder that does not exist; make it or choose another name")
    found = Matrix(classes=tuple(class_of(kind) for kind in catalogue()), seed=seed)
    crossings: list[Crossing] = []
    with Processes(preload()) as processes:
        for name in among:
            states = cast("type[Protocol]", registry.find("cryoctl.protocols", name)).chart.states
            ways = _ways(processes, name, seed, states)
            found.states[name] = tuple(state for state in states if state in ways)
            found.unreached[name] = tuple(state for state in states if state not in ways)
            crossings += [
                Crossing(protocol=name, state=state, fault=fault, way=ways[state])
                for state in found.states[name]
                for fault in map(class_of, of_instrument(catalogue(), ways[state].plan.kinds()))
            ]
        found.crossings = len(crossings)
        if most is not None and most < len(crossings):
            crossings = chance(seed, protocol, "crossings").sample(crossings, most)
        with progress(len(crossings)) as told:
            work = _Player(processes, page)
            for crossing, (one, cell) in shared(work, crossings):
                found.cells[crossing.protocol, crossing.state, crossing.fault] = cell
                found.campaign.cases.append(one)
                told(one)
    return found


class _Player:
    """Plays a crossing in a folder of its own."""

    def __init__(self, processes: Processes, page: Path) -> None:
        self._processes = processes
        self._page = page

    def __call__(self, crossing: Crossing) -> tuple[Told, str]:
        device, name = crossing.fault
        entry: Fault = {"device": device, "fault": name, "at": {"state": crossing.state, "visit": 1}}
        faults = (*crossing.way.faults, entry)
        with tempfile.TemporaryDirectory(prefix="cryoctl-matrix-", ignore_cleanup_errors=True) as scratch:
            folder = CaseFolder(Path(scratch) / "case")
            case, verdict = played(self._processes, folder, crossing.way.plan, faults)
            met = _lines(folder) != crossing.way.lines
            again = ""
            if verdict.violations:
                again = _kept(folder, case, self._page, f"{crossing.protocol}-{crossing.state}-{device}-{name}")
        return Told(case=case, verdict=verdict, folder=None, again=again), cell_of(verdict, met)


def cell_of(verdict: Verdict, met: bool) -> str:
    """`4 dose`, a point where the fault changed nothing, and a mark on what was violated."""
    if verdict.violations:
        return f"**{verdict.exit_code} {verdict.end_reason} VIOLATED**"
    return f"{verdict.exit_code} {verdict.end_reason or 'never began'}" if met else "·"


def _kept(folder: CaseFolder, case: Case, page: Path, name: str) -> str:
    """Copy recipe and faults beside the page and say how to play them."""
    kept = CaseFolder(page.with_name(f"{page.stem}-violations") / name)
    shutil.rmtree(kept.path, ignore_errors=True)
    kept.path.mkdir(parents=True)
    for file in (folder.recipe(case.protocol), folder.faults):
        shutil.copy(file, kept.path / file.name)
    return shlex.join(["cryoctl", *case.command_line(kept)])


def _ways(processes: Processes, protocol: str, seed: int, states: Sequence[str]) -> Mapping[str, Way]:
    """For each state the least eventful way there, undisturbed ones before disturbed ones."""
    found: dict[str, Way] = {}
    for first in range(0, _MOST_SCOUTS, _AT_A_TIME):
        disturbed = first >= _SCOUTS
        scouts = shared(_Scout(processes, protocol, disturbed), range(seed + first, seed + first + _AT_A_TIME))
        for way in sorted((way for _, way in scouts), key=lambda one: (len(one.faults), len(one.lines), one.plan.seed)):
            for state in way.states:
                found.setdefault(state, way)
        if all(state in found for state in states):
            break
    return found


class _Scout:
    """Plays a case to see which states it comes through."""

    def __init__(self, processes: Processes, protocol: str, disturbed: bool) -> None:
        self._processes = processes
        self._protocol = protocol
        self._disturbed = disturbed

    def __call__(self, seed: int) -> Way:
        plan = plan_of(seed, (self._protocol,))
        with tempfile.TemporaryDirectory(prefix="cryoctl-scout-", ignore_cleanup_errors=True) as scratch:
            folder = CaseFolder(Path(scratch) / "case")
            case, verdict = played(self._processes, folder, plan, None if self._disturbed else ())
            lines = _lines(folder)
        usable = not verdict.kills and not case.commands and KILL not in map(class_of, case.faults)
        states = frozenset(_states(lines)) if usable else frozenset[str]()
        return Way(plan=plan, faults=case.faults, lines=lines, states=states)


def _lines(folder: CaseFolder) -> tuple[str, ...]:
    return tuple(folder.events.read_text(encoding="utf-8").splitlines()) if folder.events.exists() else ()


def _states(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        told = json.loads(line)
        if told["event"] == "state":
            yield told["name"]


def write_page(page: Path, found: Matrix) -> None:
    """Raises `FileProblem` where it can't be written."""
    try:
        page.write_text("\n".join(page_lines(found)) + "\n", encoding="utf-8")
    except OSError as problem:
        raise FileProblem(f"--matrix {page}: can't be written ({problem.strerror}); choose another name") from problem


def page_lines(found: Matrix) -> list[str]:
    """A table for each protocol, a row a fault class that its instrument knows, a column a state."""
    violated = len(found.campaign.violations)
    lines = [
        "# State x fault matrix",
        "",
        "Each fault class set off on the first entry into each state of each protocol, in a small run on the simulated",
        "microscope: exit code and end reason as seen. A point: all events came as they do without the fault, which",
        "can't act there (no exposure, no move, nothing asked of that device) or changes what is recorded only (EDX).",
        "Faults of a device that the protocol's instrument has not are left out.",
        "Made by `cryoctl campaign --matrix FILE`, which judges every run from the world's own truth:",
        f"{len(found.campaign.cases):,} runs, {violated:,} with a violation. What the faults are: `cryoctl faults`.",
    ]
    if len(found.cells) < found.crossings:
        lines.append(
            f"{len(found.cells):,} of {found.crossings:,} crossings were played, drawn by seed {found.seed}; the cells "
            "of the others are empty."
        )
    for protocol, states in found.states.items():
        played = [one for one in found.classes if any((protocol, state, one) in found.cells for state in states)]
        lines += ["", f"## {protocol}", ""]
        if found.unreached[protocol]:
            lines += [f"No small case came through: {', '.join(found.unreached[protocol])}.", ""]
        lines += ["| fault | " + " | ".join(states) + " |", "|---" * (len(states) + 1) + "|"]
        for device, name in played:
            cells = [found.cells.get((protocol, state, (device, name)), "") for state in states]
            lines.append(f"| {device} {name} | " + " | ".join(cells) + " |")
    return lines
