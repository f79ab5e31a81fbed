"""Options that several commands share, so that they read the same everywhere (contract.md)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from cryoctl.errors import BadInput

LARGEST_SEED = 2**63 - 1
MOST_ITERATIONS = 10_000
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


def seed_of(text: str | int) -> int:
    """A seed as typed. Raises `BadInput` for anything but 0 to 2**63-1."""
    words = str(text).strip()
    seed = int(words) if _WHOLE.fullmatch(words) else -1
    if not 0 <= seed <= LARGEST_SEED:
        raise BadInput(f"--seed: found {_shown(words)}, allowed are whole numbers from 0 to 2**63-1; choose another")
    return seed


def speed_of(text: str | float) -> float:
    """A speed as typed. Raises `BadInput` for anything but a finite number above 0."""
    words = str(text).strip()
    speed = float(words) if _REAL.fullmatch(words) else 0.0
    if not (math.isfinite(speed) and speed > 0):
        raise BadInput(f"--speed: found {_shown(words)}, allowed is a finite number above 0; 1 is real time")
    return speed


def iterations_of(text: str | int) -> int:
    """A number of iterations as typed. Raises `BadInput` for anything but a whole number from 1 to 10,000."""
    words = str(text).strip()
    count = int(words) if _WHOLE.fullmatch(words) else 0
    if not 1 <= count <= MOST_ITERATIONS:
        raise BadInput(
            f"--iterations: found {_shown(words)}, allowed are whole numbers from 1 to {MOST_ITERATIONS}; without it "
            "the data decide"
        )
    return count


def _shown(words: str) -> str:
    return ascii(words if len(words) <= 40 else words[:37] + "...")


Json = Annotated[bool, typer.Option("--json", help="Exactly one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages but errors.")]
Instrument = Annotated[
    str | None,
    typer.Option(
        "--instrument", metavar="FILE", help="Instrument file, bundled name or tcp://HOST:PORT; default: simulated."
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run file.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="0 to 2**63-1; default: 0.", show_default=False, parser=seed_of),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field: dose.limit_e_per_a2=2e4; repeatable."),
]
Until = Annotated[str, typer.Option("--until", metavar="STATE", help="End in good order on entering this state.")]
Speed = Annotated[
    float | None,
    typer.Option("--speed", metavar="X", help="1: real time; default: as fast as it goes.", parser=speed_of),
]
Specimen = Annotated[
    str, typer.Option("--specimen", metavar="NAME|RUN", help="What this specimen received in earlier runs counts.")
]
World = Annotated[Path | None, typer.Option("--world", metavar="FILE", help="File of the simulators' truth.")]
Events = Annotated[Path | None, typer.Option("--events", metavar="FILE", help="One JSON line an event, as it happens.")]
Faults = Annotated[
    Path | None, typer.Option("--faults", metavar="FILE", help="Faults to inject (YAML list; see `cryoctl faults`).")
]
