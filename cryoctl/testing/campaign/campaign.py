"""A campaign: cases drawn from seeds, played in processes of their own, judged, and told."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from cryoctl.errors import FileProblem
from cryoctl.testing.campaign.case import Case, CaseFolder, Verdict, repeats
from cryoctl.testing.campaign.drawing import Plan, plan_of, protocols
from cryoctl.testing.campaign.faults import KILL, Fault, class_of
from cryoctl.testing.campaign.killing import play_killed
from cryoctl.testing.campaign.playing import play_case
from cryoctl.testing.campaign.pool import LONGEST_S, Processes, shared
from cryoctl.testing.campaign.survival import survive_case

_SLOW = ("cryoctl.testing.campaign.killing", "cryoctl.engine.finish")
_WARM_GROUPS = ("cryoctl.devices", "cryoctl.protocols", "cryoctl.campaign_recipes", "cryoctl.faults")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a campaign is asked for: cases of the seeds `seed`, `seed` + 1 and so on.

    `keep` is the folder that all files of the cases stay in, None for nowhere.
    """

    protocol: str = ""
    runs: int = 150
    seed: int = 0
    kill: bool = False
    keep: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One case of a campaign. `folder` is None where nothing is kept; `again` how to repeat one that no seed gives."""

    case: Case
    verdict: Verdict
    folder: Path | None
    kill: bool = False
    again: str = ""

    @property
    def repeat(self) -> str:
        return self.again or repeats(self.case.protocol, self.case.seed, kill=self.kill)

    def to_json(self) -> dict[str, Any]:
        """As contract.md has it, and what helps a judge: protocol, end reason, events, commands, how to repeat it."""
        kept = None if self.folder is None else CaseFolder(self.folder)
        return {
            "seed": self.case.seed,
            "protocol": self.case.protocol,
            "recipe": None if kept is None else str(kept.recipe(self.case.protocol)),
            "faults": [dict(one) for one in self.case.faults],
            "commands": [{"time_s": time_s, "command": command} for time_s, command in self.case.commands],
            "set": list(self.case.overrides),
            "exit_code": self.verdict.exit_code,
            "end_reason": self.verdict.end_reason or None,
            "message": self.verdict.message,
            "kills": self.verdict.kills,
            "run_file": self.verdict.run_file if kept is not None else None,
            "world": str(kept.world) if kept is not None and kept.world.exists() else None,
            "events": str(kept.events) if kept is not None and kept.events.exists() else None,
            "violations": list(self.verdict.violations),
            "repeat": self.repeat,
        }


def preload() -> tuple[str, ...]:
    """Modules that every case needs: imported once, in the parent of all."""
    modules = {point.module for group in _WARM_GROUPS for point in entry_points(group=group)}
    return (*_SLOW, *sorted(modules))


@dataclass(slots=True)
class Campaign:
    """What came of it, in the order of the seeds once all have ended."""

    cases: list[Told] = field(default_factory=list[Told])

    @property
    def violations(self) -> list[Told]:
        return [one for one in self.cases if one.verdict.violations]

    def to_json(self) -> dict[str, Any]:
        violated = [
            {"seed": one.case.seed, "protocol": one.case.protocol, "found": list(one.verdict.violations),
             "repeat": one.repeat}
            for one in self.violations
        ]  # fmt: skip
        return {"runs": len(self.cases), "violations": violated, "cases": [one.to_json() for one in self.cases]}


def check_keep(keep: Path | None) -> None:
    """Raises `FileProblem` where the folder holds something already, or can't be made."""
    if keep is None:
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise FileProblem(f"--keep {keep}: holds files already; give an empty folder, or one that there is not yet")
    except OSError as problem:
        raise FileProblem(f"--keep {keep}: can't be made ({problem.strerror}); give another folder") from problem


def run_campaign(wanted: Wanted, told: Callable[[Told], None] = lambda one: None) -> Campaign:
    """Play all cases; `told` hears of each as it ends.

    Raises:
        BadInput: there is no such protocol, or the folder to keep files in is not empty.
    """
    among = protocols(wanted.protocol)
    check_keep(wanted.keep)
    campaign = Campaign()
    with Processes(preload()) as processes:

        def play(number: int) -> Told:
            with _folder(wanted.keep, number) as folder:
                return _case(processes, wanted, among, wanted.seed + number, folder)

        for _, one in shared(play, range(wanted.runs)):
            campaign.cases.append(one)
            told(one)
    campaign.cases.sort(key=lambda one: one.case.seed)
    return campaign


@contextmanager
def _folder(keep: Path | None, number: int) -> Generator[Path]:
    if keep is not None:
        yield keep / f"{number:04d}"
        return
    with tempfile.TemporaryDirectory(prefix="cryoctl-campaign-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / f"{number:04d}"


def _case(processes: Processes, wanted: Wanted, among: Sequence[str], seed: int, path: Path) -> Told:
    folder = CaseFolder(path)
    plan = plan_of(seed, among)
    if wanted.kill:
        case, verdict = play_killed(processes, folder, plan) or _not_drawn(plan, None)
    else:
        case, verdict = played(processes, folder, plan)
    return Told(case=case, verdict=verdict, folder=path if wanted.keep is not None else None, kill=wanted.kill)


def played(
    processes: Processes, folder: CaseFolder, plan: Plan, faults: Sequence[Fault] | None = None
) -> tuple[Case, Verdict]:
    """Play a case in a process of its own; where that was killed, another one recovers, resumes and judges."""
    code = processes.call(play_case, folder, plan, faults)
    if folder.verdict.exists():
        return Case.load(folder), Verdict.load(folder)
    if not folder.case.exists():
        return _not_drawn(plan, code)
    case = Case.load(folder)
    if code is not None and code < 0 and any(class_of(one) == KILL for one in case.faults):
        code = processes.call(survive_case, folder, 1)
        if folder.verdict.exists():
            return case, Verdict.load(folder)
    what = f"did not end within {LONGEST_S:g} s" if code is None else f"died with exit {code}"
    verdict = Verdict(
        exit_code=code,
        end_reason="",
        message="",
        violations=(f"its process {what}",),
        run_file=None if (run_file := folder.run_file()) is None else str(run_file),
    )
    return case, verdict


def _not_drawn(plan: Plan, code: int | None) -> tuple[Case, Verdict]:
    case = Case(seed=plan.seed, protocol=plan.protocol, overrides=plan.overrides, faults=(), commands=())
    found = f"the case could not be drawn (its process ended with {code}): mend the protocol's campaign recipes"
    return case, Verdict(exit_code=code, end_reason="", message="", violations=(found,), run_file=None)
