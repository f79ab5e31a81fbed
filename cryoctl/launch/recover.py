"""`recover`: a readable file of a run that was killed, cut or met a full disk, as a copy.

The original and its parts are only read. What is left is folded and finished by the code that ends a run; volumes that
were reconstructed live are not made again (`reconstruct` makes better ones).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryoctl.engine.earlier_session import charge_at_worst
from cryoctl.engine.finish import Remains, finish
from cryoctl.errors import BadInput, CryoctlError, FileProblem
from cryoctl.launch.world_copy import WorldCopy
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.h5 import H5Group
from cryoctl.runfile.integrity import is_whole
from cryoctl.runfile.lock import is_locked, owner_pid
from cryoctl.runfile.parts import RunParts
from cryoctl.runfile.reader import open_run
from cryoctl.runfile.remains import Losses, what_remains
from cryoctl.runfile.salvage import salvage
from cryoctl.runfile.tree import put
from cryoctl.runfile.writer import change_run

RECOVERED = "recovered"
"""Status of a run that never ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the new file `out` holds, and a sentence each on what was lost (and on what could not be analysed)."""

    out: Path
    source: str
    frames_kept: int
    losses: Losses
    shortfalls: tuple[str, ...] = ()

    def report(self) -> dict[str, Any]:
        """As contract.md has it."""
        return {
            "out": str(self.out),
            "frames_kept": self.frames_kept,
            "frames_lost": self.losses.frames,
            "bytes_lost": self.losses.bytes,
            "ledger_whole": self.losses.uncharged == 0,
            "source": self.source,
            "lost": list(self.losses.sentences),
            "warnings": list(self.shortfalls),
        }


def recover(
    run_file: Path, out: Path | None = None, world: Path | None = None, tell: Callable[[str], None] = lambda text: None
) -> Recovered:
    """Make a whole file of what is left of a run.

    Args:
        out: the new file; the run's name with `_recovered` where it is None.
        world: where the simulators' world lies if not where it was when the run began.

    Raises:
        BadInput: a living process has the run, there is none, nothing of it is left, or `out` can't be made.
    """
    path = run_file.with_suffix(".nxs") if run_file.suffix == ".parts" else run_file
    parts = RunParts.beside(path)
    if path.is_dir() or not (path.exists() or parts.journal.exists()):
        what = "is a folder" if path.is_dir() else "does not exist, nor does its .parts folder"
        raise FileProblem(f"{path} {what}: name a run file (*.nxs)")
    if is_locked(parts.lock):
        raise FileProblem(f"{path.name} is in use by process {owner_pid(parts.lock)}: wait for its end, then recover")
    place = out or _free_name(path)
    _check_place(place)
    try:
        if is_whole(path) and not _goes_on(path):
            tell(f"{path.name} is whole: copied")
            return _copy(path, place)
        if parts.journal.exists():
            tell(f"from {parts.folder.name}")
            return _from_parts(path, parts, place, world)
        tell(f"{parts.folder.name} is not beside {path.name}: from what can be read of the file itself")
        return _from_file(path, place)
    except FileExistsError as error:
        raise FileProblem(f"{place}: is there already; choose another name") from error
    except OSError as error:
        raise FileProblem(
            f"{place}: can't be written ({error.strerror or error}); give --out FILE elsewhere"
        ) from error


def _free_name(path: Path) -> Path:
    names = (f"{path.stem}_recovered{'' if number == 1 else f'_{number}'}.nxs" for number in range(1, 100_000))
    return next(place for place in (path.with_name(name) for name in names) if not place.exists())


def _check_place(place: Path) -> None:
    if place.exists():
        raise FileProblem(f"--out {place}: is there already; choose another name")
    if not place.absolute().parent.is_dir():
        raise FileProblem(f"--out {place}: lies in a folder that does not exist; make it or choose another")
    if place.suffix != ".nxs":
        raise BadInput(
            f"--out {place}: found {place.suffix or 'no ending'}, a run file ends in .nxs; choose another name"
        )


def _goes_on(path: Path) -> bool:
    """Whether the journal has more than the file: a resumed run that broke off."""
    with open_run(path) as run:
        return not run.packed


def _told(path: Path, source: str, losses: Losses) -> dict[str, Any]:
    """Below /entry/recovered."""
    return {
        "from": path.name,
        "source": source,
        "frames_lost": losses.frames,
        "bytes_lost": losses.bytes,
        "ledger_whole": losses.uncharged == 0,
        "lost": "\n".join(losses.sentences),
    }


def _copy(path: Path, place: Path) -> Recovered:
    losses = Losses()
    told = _told(path, "file", losses)

    def mark(root: H5Group) -> None:
        put(root, "entry/recovered", told)

    change_run(path, mark, ["entry/recovered"], out=place)
    return Recovered(out=place, source="file", frames_kept=_frames(place), losses=losses)


def _from_parts(path: Path, parts: RunParts, place: Path, world: Path | None) -> Recovered:
    fold, losses = what_remains(parts)
    charge_at_worst(fold)
    _tell_end(fold, path, losses)
    place_of_world = world or Path(fold.head.get("world") or parts.world)
    truth = WorldCopy(fold.head, place_of_world, fold.time_s) if fold.head.get("simulated") else None
    extras = {f"entry/recovered/{name}": value for name, value in _told(path, "parts", losses).items()}
    remains = Remains(fold=fold, extras=extras)
    finished = finish(place, parts.folder, fold.head, truth, fold.grid, {}, remains)
    return Recovered(
        out=place,
        source="parts",
        frames_kept=len(fold.frames.get("image", {})),
        losses=losses,
        shortfalls=tuple(finished.shortfalls),
    )


def _tell_end(fold: RunFold, path: Path, losses: Losses) -> None:
    """A run that never ended is told as recovered; one that did keeps its end."""
    if fold.end is not None:
        return
    frames = len(fold.frames.get("image", {}))
    message = f"recovered from {path.name}, which broke off in state {fold.state or 'preparing'}: {frames} frames kept"
    if losses.frames:
        message += f", {losses.frames} lost"
    fold.status = RECOVERED
    fold.end = {"status": RECOVERED, "end_reason": "", "exit_code": None, "message": message}


def _from_file(path: Path, place: Path) -> Recovered:
    losses = Losses()

    def told() -> Mapping[str, Any]:
        return _told(path, "salvaged", losses)

    salvage(path, place, losses, told)
    return Recovered(out=place, source="salvaged", frames_kept=_frames(place), losses=losses)


def _frames(place: Path) -> int:
    try:
        with open_run(place) as run:
            return len(run.image) if "image" in run else 0
    except (CryoctlError, OSError, KeyError, AttributeError):
        return 0
