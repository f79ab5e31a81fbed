"""Names of a run's file and of what belongs to it (contract.md)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryoctl.errors import FileProblem
from cryoctl.runfile.parts import RunParts

_DEVICE_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\.", re.IGNORECASE)
"""Windows takes `nul.more.nxs` for the device; what follows a recipe's name keeps one without a point apart."""


@dataclass(frozen=True, slots=True)
class RunPaths:
    """`run_file` is DIR/RECIPE_SEED_NNN.nxs; everything else lies in `parts`."""

    run_file: Path
    made: tuple[Path, ...] = ()
    """Folders that the claim had to make, the innermost first."""

    @property
    def parts(self) -> RunParts:
        return RunParts.beside(self.run_file)

    def give_back(self) -> None:
        """Take the claim away again where the run never began: nothing was exposed, nothing is kept."""
        if not self.run_file.exists():
            shutil.rmtree(self.parts.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another run is in there by now
                for folder in self.made:
                    folder.rmdir()


def check_folder(folder: Path) -> None:
    """Raises `FileProblem` where no run file could be made; makes nothing."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if folder.exists() and not folder.is_dir():
        raise FileProblem(f"--out {folder}: is a file; give a folder")
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise FileProblem(f"--out {folder}: can't be written; choose a folder that you may write to")


def claim(folder: Path, recipe: str, seed: int) -> RunPaths:
    """Make the `.parts` folder of the first free number; two runs that start together get two numbers.

    Raises:
        FileProblem: the folder can't be written.
    """
    stem = re.sub(r"[^A-Za-z0-9_.+-]", "-", recipe) or "run"
    if _DEVICE_OF_WINDOWS.match(stem):
        stem = f"run-{stem}"
    try:
        made = tuple(one for one in (folder, *folder.parents) if not one.exists())
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, 100_000):
            paths = RunPaths(folder / f"{stem}_{seed}_{number:03d}.nxs", made)
            if paths.run_file.exists():
                continue
            try:
                paths.parts.folder.mkdir()
            except FileExistsError:
                continue
            return paths
    except OSError as error:
        raise FileProblem(f"--out {folder}: can't be written ({error.strerror}); choose another folder") from error
    raise FileProblem(f"--out {folder}: holds 99,999 runs of {stem} with seed {seed}; choose another folder")
