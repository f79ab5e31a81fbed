"""`--specimen`: what a specimen received in earlier runs, on the grid of the new ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryoctl.dose.ledger import Deposit, DoseLedger
from cryoctl.errors import CryoctlError, FileProblem, RecipeError, RunFileError
from cryoctl.interfaces.truth import MapGrid
from cryoctl.protocol import Protocol
from cryoctl.runfile.reader import Run, open_run

DoseMap = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EarlierDose:
    """Dose left by earlier runs on their own grids, prior ones of theirs left out, and the largest position sigma."""

    names: tuple[str, ...]
    maps: tuple[tuple[MapGrid, DoseMap], ...]
    position_sigma_m: float

    def box_m(self) -> tuple[float, float, float, float] | None:
        """What they cover, (x_min, x_max, y_min, y_max); None where there is nothing."""
        if not self.maps:
            return None
        boxes = [
            (
                grid.origin_x_m,
                grid.origin_x_m + (grid.shape[1] - 1) * grid.pixel_size_m,
                grid.origin_y_m,
                grid.origin_y_m + (grid.shape[0] - 1) * grid.pixel_size_m,
            )
            for grid, _ in self.maps
        ]
        lows, highs = np.min(boxes, axis=0), np.max(boxes, axis=0)
        return (float(lows[0]), float(highs[1]), float(lows[2]), float(highs[3]))

    def on(self, grid: MapGrid) -> DoseMap:
        """Sum on `grid` [y, x]; grids share pixel size and lattice (see `dose.ledger.grid_over`).

        Raises:
            FileProblem: an earlier run's ledger has another pixel size.
        """
        total = np.zeros(grid.shape)
        for own, dose in self.maps:
            if abs(own.pixel_size_m - grid.pixel_size_m) > 1e-6 * grid.pixel_size_m:
                raise FileProblem(
                    f"--specimen: an earlier ledger has pixels of {own.pixel_size_m * 1e9:.3g} nm, this one of "
                    f"{grid.pixel_size_m * 1e9:.3g} nm; give a run of this version"
                )
            row = round((own.origin_y_m - grid.origin_y_m) / grid.pixel_size_m)
            column = round((own.origin_x_m - grid.origin_x_m) / grid.pixel_size_m)
            rows, columns = dose.shape
            total[row : row + rows, column : column + columns] += dose
        return total


def earlier_dose(specimen: str, folder: Path) -> EarlierDose:
    """All runs of a specimen's name in `folder`, or one run by its path with what that one began from.

    Raises:
        FileProblem: no such run.
    """
    if not specimen:
        return EarlierDose(names=(), maps=(), position_sigma_m=0.0)
    path = Path(specimen)
    if path.suffix == ".nxs" or path.is_file():
        with open_run(path) as run:
            return _collect([run], whole=True)
    if not folder.is_dir():
        raise FileProblem(f"--specimen {specimen}: {folder} holds no runs; give the path of a run file")
    found = _runs_of(specimen, folder)
    try:
        if not found:
            raise FileProblem(
                f"--specimen {specimen}: no run of that specimen in {folder}; give the path of a run file"
            )
        return _collect(found, whole=False)
    finally:
        for run in found:
            run.close()


def _runs_of(specimen: str, folder: Path) -> list[Run]:
    """Each run of a specimen once: a recovered copy stands in for an original that can't be read, never beside one.

    Raises:
        FileProblem, RunFileError: a run that can't be read and has no recovered copy; its dose would be forgotten.
    """
    originals: list[Run] = []
    copies: list[Run] = []
    unreadable: dict[str, CryoctlError] = {}
    kept: list[Run] = []
    try:
        for candidate in sorted(folder.glob("*.nxs")):
            try:
                run = open_run(candidate)
            except (FileProblem, RunFileError) as problem:
                unreadable[candidate.name] = problem
                continue
            (copies if "entry/recovered" in run else originals).append(run)
        copied_from = {str(run.entry.recovered["from"]) for run in copies}
        for name, problem in unreadable.items():
            if name not in copied_from:
                raise problem
        seen = {_identity(run) for run in originals}
        for run in sorted(copies, key=lambda one: -int(one.entry.journal_records)):
            if _identity(run) not in seen:
                kept.append(run)
            seen.add(_identity(run))
        kept = sorted((run for run in (*originals, *kept) if run.specimen == specimen), key=lambda one: one.path.name)
        return kept
    finally:
        for run in (*originals, *copies):
            if run not in kept:
                run.close()


def _identity(run: Run) -> tuple[str, str, int]:
    """Equal for a run and its recovered copies."""
    return (str(run.entry.run), str(run.entry.start_time), int(run.entry.seed))


def _collect(runs: Sequence[Run], *, whole: bool) -> EarlierDose:
    """`whole` counts the prior of a single run as well; of several runs in one folder each adds only its own."""
    maps: list[tuple[MapGrid, DoseMap]] = []
    sigma = 0.0
    for run in runs:
        if "entry/dose/map_e_per_a2" not in run:
            raise FileProblem(f"--specimen: {run.path.name} has lost its ledger; its dose can't be counted")
        if "entry/recovered/ledger_whole" in run and not run.entry.recovered.ledger_whole:
            raise FileProblem(
                f"--specimen: the journal that {run.path.name} was recovered from was cut and its ledger lacks dose; "
                "use a whole copy of that run"
            )
        dose = np.asarray(run.dose.map, dtype=np.float64)
        if "scattered_e_per_a2" in run.dose:  # its dilated map is no bound
            dose = np.asarray(run.dose.prior, dtype=np.float64) + np.asarray(run.dose.scattered_e_per_a2)
        if not whole:
            dose = dose - np.asarray(run.dose.prior, dtype=np.float64)
        maps.append((run.dose.grid, dose))
        sigma = max(sigma, run.dose.position_sigma_m)
    return EarlierDose(names=tuple(run.path.name for run in runs), maps=tuple(maps), position_sigma_m=sigma)


def check_room_for_dose(protocol: Protocol, ledger: DoseLedger, earlier: EarlierDose) -> None:
    """Refuse a specimen on which not one exposure would fit any more, at any of the targets.

    Raises:
        RecipeError: names the earlier runs and the dose they left.
    """
    described = protocol.describe()
    least = described.get("least_exposure_e_per_a2")
    areas = [area for name, area in described.get("areas", {}).items() if name.split("-")[0] == "record"]
    if not earlier.maps or least is None or not areas:
        return
    peaks = [ledger.peak_after([Deposit(**area, dose_e_per_a2=least)], 0.0) for area in areas]
    if min(peaks) > ledger.limit_e_per_a2:
        raise RecipeError(
            f"dose.limit_e_per_a2: found {ledger.limit_e_per_a2:.4g} e-/A^2, the specimen received "
            f"{min(peaks) - least:.4g} in {', '.join(earlier.names)[:80]} and one exposure needs {least:.4g} more: "
            "raise the limit or take another target"
        )
