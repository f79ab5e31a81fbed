"""A case on disk: recipe, faults and what came of them, in one folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from cryoctl.launch.request import RunRequest
from cryoctl.testing.campaign.drawing import Plan


@dataclass(frozen=True, slots=True)
class CaseFolder:
    """Names of what belongs to a case; `run` holds the run file and its `.parts`."""

    path: Path

    @property
    def faults(self) -> Path:
        return self.path / "faults.yaml"

    @property
    def world(self) -> Path:
        return self.path / "world.bin"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def case(self) -> Path:
        return self.path / "case.json"

    @property
    def verdict(self) -> Path:
        return self.path / "verdict.json"

    def recipe(self, protocol: str) -> Path:
        return self.path / f"{protocol}.yaml"

    def run_file(self) -> Path | None:
        """The one run of this case; its name as soon as its `.parts` are there."""
        for parts in sorted(self.run.glob("*.parts")):
            return parts.with_suffix(".nxs")
        return next(iter(sorted(self.run.glob("*.nxs"))), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What was played: `overrides` are `--set` texts, `commands` run time (s) and command, `duration_s` predicted."""

    seed: int
    protocol: str
    overrides: tuple[str, ...]
    faults: tuple[Mapping[str, Any], ...]
    commands: tuple[tuple[float, str], ...]
    duration_s: float = 0.0

    def request(self, folder: CaseFolder) -> RunRequest:
        return RunRequest(
            recipe=str(folder.recipe(self.protocol)),
            out=folder.run,
            seed=self.seed,
            overrides=self.overrides,
            world=folder.world,
            events=folder.events,
            faults=folder.faults,
        )

    def command_line(self, folder: CaseFolder) -> list[str]:
        """Arguments of `cryoctl run` that play it, but for the operator's commands."""
        sets = [part for text in self.overrides for part in ("--set", text)]
        recipe, seed = str(folder.recipe(self.protocol)), str(self.seed)
        files = ["--out", str(folder.run), "--world", str(folder.world), "--events", str(folder.events)]
        return ["run", recipe, "--seed", seed, *sets, "--faults", str(folder.faults), *files]

    def save(self, folder: CaseFolder) -> None:
        folder.case.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: CaseFolder) -> Case:
        told = json.loads(folder.case.read_text(encoding="utf-8"))
        return cls(
            seed=told["seed"],
            protocol=told["protocol"],
            overrides=tuple(told["overrides"]),
            faults=tuple(told["faults"]),
            commands=tuple((float(time_s), str(command)) for time_s, command in told["commands"]),
            duration_s=told["duration_s"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a case ended; `violations` are sentences. `exit_code` is None where its process gave none."""

    exit_code: int | None
    end_reason: str
    message: str
    violations: tuple[str, ...]
    run_file: str | None
    kills: int = 0

    def save(self, folder: CaseFolder) -> None:
        folder.verdict.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: CaseFolder) -> Verdict:
        told: dict[str, Any] = json.loads(folder.verdict.read_text(encoding="utf-8"))
        told["violations"] = tuple(told["violations"])
        return cls(**told)


def write_plan(folder: CaseFolder, plan: Plan) -> None:
    """The folder with its recipe, and no faults yet."""
    folder.path.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(plan.recipe), sort_keys=False)
    folder.recipe(plan.protocol).write_text(text, encoding="utf-8")
    write_faults(folder, ())


def write_faults(folder: CaseFolder, faults: tuple[Mapping[str, Any], ...]) -> None:
    text = yaml.safe_dump([dict(one) for one in faults], sort_keys=False, default_flow_style=None, width=200)
    folder.faults.write_text(text, encoding="utf-8")


def repeats(protocol: str, seed: int, *, kill: bool = False) -> str:
    """The one command that plays a drawn case again."""
    words = ["cryoctl", "campaign", "--protocol", protocol, "--runs", "1", "--seed", str(seed)]
    return shlex.join([*words, "--kill"] if kill else words)
