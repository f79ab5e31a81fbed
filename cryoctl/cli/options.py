"""Options that several commands share, so that they read the same everywhere (contract.md)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from cryoctl.errors import BadInput

LARGEST_SEED = 2**63 - 1

Json = Annotated[bool, typer.Option("--json", help="Exactly one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages but errors.")]
Instrument = Annotated[
    Path | None,
    typer.Option("--instrument", metavar="FILE", help="Instrument file; default: simulated."),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run file.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="0 to 2**63-1; default: 0.", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field: dose.limit_e_per_a2=2e4; repeatable."),
]
Until = Annotated[str, typer.Option("--until", metavar="STATE", help="End in good order on entering this state.")]
Speed = Annotated[
    float | None,
    typer.Option("--speed", metavar="X", help="1: real time; default: as fast as the simulation goes."),
]
Specimen = Annotated[
    str, typer.Option("--specimen", metavar="NAME|RUN", help="What this specimen received in earlier runs counts.")
]
World = Annotated[Path | None, typer.Option("--world", metavar="FILE", help="File of the simulators' truth.")]
Events = Annotated[Path | None, typer.Option("--events", metavar="FILE", help="One JSON line an event, as it happens.")]
Faults = Annotated[
    Path | None, typer.Option("--faults", metavar="FILE", help="Faults to inject (YAML list; see `cryoctl faults`).")
]


def check_seed(seed: int | None) -> None:
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise BadInput(f"--seed: found {str(seed)[:30]}, allowed are 0 to 2**63-1; choose another number")


def check_speed(speed: float | None) -> None:
    if speed is not None and not (math.isfinite(speed) and speed > 0):
        raise BadInput(f"--speed: found {speed:g}, it must be a finite number above 0; 1 is real time")
