"""What comes after a kill: recover on a copy, check it, resume, and judge all of it together."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from cryoctl.errors import CryoctlError
from cryoctl.launch.recover import recover
from cryoctl.launch.request import RunRequest
from cryoctl.testing.campaign import judge
from cryoctl.testing.campaign.case import Case, CaseFolder, Verdict
from cryoctl.testing.campaign.evidence import acknowledged, of_file, of_world
from cryoctl.testing.campaign.judge import Evidence
from cryoctl.testing.campaign.playing import judged

_AT_THE_KILL: tuple[judge.Rule, ...] = (
    judge.file_opens,
    judge.dose_within_limit,
    judge.ledger_not_below_truth,
    judge.no_acknowledged_frame_lost,
    judge.check_passes,
    judge.every_exposure_has_its_row,
)
"""What a recovered copy has to keep; how the run ends is told by its resume."""


def cryoctl_command(*arguments: str) -> list[str]:
    """The command line of this installation."""
    return [sys.executable, "-m", "cryoctl", *arguments]


def judge_recovered(folder: CaseFolder, case: Case) -> tuple[str, ...]:
    """Sentences on what the recovered copy of a killed run lacks."""
    run_file = folder.run_file()
    if run_file is None:
        return ()
    try:
        copy = recover(run_file).out
    except CryoctlError as error:
        return (f"recover ended with exit {error.exit_code}: {error.message}",)
    except Exception as error:
        return (f"recover met an error of its own: {type(error).__name__}: {error}",)
    seen = {**of_world(case.request(folder), folder.world, copy), **of_file(copy)}
    left = Evidence(
        **seen, exit_code=0, end_reason="", acknowledged=acknowledged(folder.events), faults=case.faults, kills=1
    )
    return tuple(f"after the kill, recovered: {found}" for rule in _AT_THE_KILL if (found := rule(left)))


def began(folder: CaseFolder) -> bool:
    """Whether the run that was killed had written its head, so that there is something to go on with."""
    run_file = folder.run_file()
    return run_file is not None and run_file.exists()


def survive_case(folder: CaseFolder, kills: int) -> Verdict:
    """Recover and judge, resume in this process without faults, judge again; the verdict is in the folder as well."""
    case = Case.load(folder)
    if not began(folder):
        verdict = Verdict(
            exit_code=None, end_reason="", message="killed before it began", violations=(), run_file=None, kills=kills
        )
        verdict.save(folder)
        return verdict
    found = judge_recovered(folder, case)
    told = _resumed(folder)
    verdict = judged(folder, case, told, kills)
    verdict = replace(verdict, violations=(*found, *verdict.violations))
    verdict.save(folder)
    return verdict


def _resumed(folder: CaseFolder) -> dict[str, Any]:
    from cryoctl.launch.resume import resume

    run_file = folder.run_file()
    assert run_file is not None
    try:
        result = resume(run_file, RunRequest(recipe="", world=folder.world, events=folder.events))
    except CryoctlError as refused:
        return {"exit_code": refused.exit_code, "end_reason": "", "message": refused.message}
    except Exception as error:
        return {"exit_code": 5, "end_reason": "", "crash": f"resume: {type(error).__name__}: {error}"}
    return {
        "exit_code": result.exit_code,
        "end_reason": str(result.summary["end_reason"] or ""),
        "message": str(result.summary["message"]),
    }
