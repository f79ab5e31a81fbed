"""`open_run`: a run file as Python objects that mirror its paths; also of a run that goes on or was killed.

A run that is not packed is folded from its journal and segments by the code that packs it, into memory (or a
temporary file where it is large), without the dense spectrum image.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import FileProblem, RunFileError
from cryoctl.interfaces.truth import MapGrid
from cryoctl.runfile.cut_file import declared_size
from cryoctl.runfile.event_store import ScanEvents
from cryoctl.runfile.h5 import H5Dataset, H5Group, memory_h5, open_h5
from cryoctl.runfile.journal import FORMAT_VERSION
from cryoctl.runfile.lock import is_locked
from cryoctl.runfile.node import Node
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.runfile.registered import dense_spectra, registered_events
from cryoctl.runfile.writer import write_run

_IN_MEMORY_BYTES = 256 << 20


class Pictures(Node):
    """/image, /search, /focus or /track."""

    @property
    def data(self) -> H5Dataset:
        """Sums of registered scan frames [frame, y, x], in the file: slice it."""
        return self._group.dataset("data/data")

    def __len__(self) -> int:
        return len(self.data)


class Dose(Node):
    """/entry/dose."""

    @property
    def map(self) -> npt.NDArray[np.float64]:
        """Undilated dose [y, x] in e-/A^2, earlier runs included."""
        return self._group.value("map_e_per_a2")

    @property
    def prior(self) -> npt.NDArray[np.float64]:
        """What earlier runs left [y, x]; zeros where there were none."""
        return self._group.value("prior_e_per_a2")

    @property
    def grid(self) -> MapGrid:
        """Where the maps lie."""
        origin_y_m, origin_x_m = self._group.value("origin_m")
        rows, columns = self._group.dataset("map_e_per_a2").shape
        return MapGrid(
            shape=(rows, columns),
            pixel_size_m=float(self._group.value("pixel_size_m")),
            origin_x_m=float(origin_x_m),
            origin_y_m=float(origin_y_m),
        )


class Edx(Node):
    """/edx."""

    def __init__(self, group: H5Group, image: H5Group) -> None:
        super().__init__(group)
        self._image = image

    @property
    def elements(self) -> tuple[str, ...]:
        """Whose lines were counted, in the recipe's order (which HDF5, telling names sorted, doesn't keep)."""
        order = str(self._group.attr("elements", "")).split(", ")
        known = list(self._group.group("lines_ev"))
        return tuple(sorted(known, key=lambda element: order.index(element) if element in order else len(order)))

    def scan_events(self, frame: int) -> list[ScanEvents]:
        """(pixel, channel) of each scan frame of a record frame, as recorded."""
        counts = self._group.value("counts")
        if not 0 <= frame < len(counts):
            raise IndexError(f"frame {frame}: the run has EDX of the frames 0 to {len(counts) - 1}")
        start = int(counts[:frame].sum())
        found: list[ScanEvents] = []
        pixel, channel = self._group.dataset("events/pixel"), self._group.dataset("events/channel")
        for count in counts[frame, : int(self._image.value("scan_count")[frame])]:
            part = slice(start, start + int(count))
            found.append((pixel[part], channel[part]))
            start += int(count)
        return found

    def spectrum_image(self, frame: int, scans: Iterable[int] | None = None) -> npt.NDArray[np.uint16]:
        """Counts [y, x, energy] of a record frame, its scan frames (or those of `scans`) registered and summed."""
        events = self.scan_events(frame)
        shifts = self._image.dataset("shifts_px")[frame]
        chosen = list(range(len(events))) if scans is None else list(scans)
        rows, columns = (int(size) for size in self._image.dataset("shape")[frame])
        n_channels = self._group.dataset("spectra").shape[1]
        picked = registered_events(
            [events[scan] for scan in chosen], [shifts[scan] for scan in chosen], (rows, columns)
        )
        return dense_spectra(picked, rows * columns, n_channels).reshape(rows, columns, n_channels)

    @property
    def energy_ev(self) -> npt.NDArray[np.float64]:
        """Start of each channel."""
        offset_ev, scale_ev = self._group.value("energy_offset_ev"), self._group.value("energy_scale_ev")
        return offset_ev + scale_ev * np.arange(self._group.dataset("spectra").shape[1], dtype=np.float64)


class Run:
    """An open run; a context manager. Groups of /entry are members of their own (`run.exposures`, `run.dose`)."""

    def __init__(
        self, path: Path, root: H5Group, *, packed: bool, parts: RunParts, scratch: Path | None = None
    ) -> None:
        self.path = path
        self.parts = parts
        self.packed = packed
        """False where the run goes on or was killed and this is a fold of its journal."""
        self.root = root
        self._scratch = scratch

    @property
    def is_live(self) -> bool:
        """Whether a process has the run."""
        return is_locked(self.parts.lock)

    @property
    def entry(self) -> Node:
        return Node(self.root.group("entry"))

    @property
    def status(self) -> str:
        return str(self.root.value("entry/status"))

    @property
    def journal_head(self) -> str:
        """Hash of the journal's last record, which the file was packed from."""
        return str(self.root.group("entry").attr("journal_head", ""))

    @property
    def specimen(self) -> str:
        return str(self.root.value("entry/specimen"))

    @property
    def dose(self) -> Dose:
        return Dose(self._group("entry/dose"))

    @property
    def image(self) -> Pictures:
        return Pictures(self._group("image"))

    @property
    def search(self) -> Pictures:
        return Pictures(self._group("search"))

    @property
    def focus(self) -> Pictures:
        return Pictures(self._group("focus"))

    @property
    def track(self) -> Pictures:
        return Pictures(self._group("track"))

    @property
    def edx(self) -> Edx:
        return Edx(self._group("edx"), self._group("image"))

    @property
    def truth(self) -> Node:
        """/simulation: what the simulated world knew."""
        return Node(self._group("simulation"))

    def __getattr__(self, name: str) -> Any:
        """`exposures`, `monitors`, `events`, ... of /entry, and the other groups of the root."""
        if name.startswith("_"):
            raise AttributeError(name)
        entry = Node(self.root.group("entry"))
        if name in entry:
            return entry[name]
        return Node(self._group(name))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.root, *self.root.group("entry")]

    def __iter__(self) -> Iterator[str]:
        return iter(self.root)

    def __contains__(self, path: str) -> bool:
        return path in self.root

    def __repr__(self) -> str:
        return f"<run {self.path.name}: {self.status}>"

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """May be called twice."""
        self.root.close()
        if self._scratch is not None:
            self._scratch.unlink(missing_ok=True)

    def _group(self, path: str) -> H5Group:
        if not self.root.is_group(path):
            raise AttributeError(f"{self.path.name} has no /{path}; it has {', '.join(self.root)}")
        return self.root.group(path)


def open_run(path: str | Path) -> Run:
    """Open a run file, finished, running or killed, to look at it.

    Args:
        path: the `.nxs` file, or its `.parts` folder.

    Raises:
        FileProblem: absent, truncated, not a run of cryoctl, or of a newer format.
        RunFileError: journal and segments contradict themselves.
    """
    path = Path(path)
    if not path.name:
        raise FileProblem(f"{path} is no file: name a run file (*.nxs)")
    if path.suffix == ".parts":
        path = path.with_suffix(".nxs")
    parts = RunParts.beside(path)
    if not path.exists() and parts.journal.exists():
        return _unpacked(path, parts)
    try:
        root = open_h5(path)
    except FileProblem as problem:
        if path.is_dir() or not path.exists() or not (parts.journal.exists() or declared_size(path)):
            raise
        what = "was cut or damaged" if path.stat().st_size else "is empty"
        raise FileProblem(f"{path} {what}: `cryoctl recover` makes a whole file of what is left") from problem
    try:
        check_format(path, root)
        whole = "entry/exposures" in root or "entry/recovered" in root
        journal_head = str(root.group("entry").attr("journal_head", "")) if whole else ""
    except BaseException:
        root.close()
        raise
    if whole and (not parts.journal.exists() or not _goes_on(parts.journal, journal_head)):
        return Run(path, root, packed=True, parts=parts)
    root.close()
    if not parts.journal.exists():
        raise FileProblem(f"{path} was never finished and {parts.folder.name} is not beside it: bring both together")
    return _unpacked(path, parts)


def check_format(path: Path, root: H5Group) -> None:
    """Raises `FileProblem` unless this is a run file that this version reads."""
    if "entry/format_version" not in root:
        raise FileProblem(f"{path} is HDF5 but no run file of cryoctl: name a file that `cryoctl run` wrote")
    version = root.value("entry/format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FileProblem(
            f"{path} has format {version}, this version of cryoctl reads up to {FORMAT_VERSION}: update cryoctl"
        )


def _unpacked(path: Path, parts: RunParts) -> Run:
    try:
        return _fold(path, parts)
    except RunFileError as problem:
        raise RunFileError(f"{problem.message}; `cryoctl recover {path.name}` keeps what is whole") from problem


def _fold(path: Path, parts: RunParts) -> Run:
    reader = PartsReader(parts)
    scratch = None
    try:
        version = int(reader.fold.head.get("format_version", 0))
        if version > FORMAT_VERSION:
            raise FileProblem(
                f"{path} has format {version}, this version of cryoctl reads up to {FORMAT_VERSION}: update cryoctl"
            )
        size = parts.size_bytes
        if size > _IN_MEMORY_BYTES:
            handle, name = tempfile.mkstemp(prefix="cryoctl-", suffix=".h5")
            os.close(handle)
            scratch = Path(name)
        root = memory_h5(scratch)
        try:
            write_run(root, reader, {}, dense=False)
        except BaseException:
            root.close()
            raise
    except BaseException:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
        raise
    finally:
        reader.close()
    return Run(path, root, packed=False, parts=parts, scratch=scratch)


def _goes_on(journal: Path, journal_head: str) -> bool:
    """Whether a journal has more records than the file was packed from; not where it is another one or was cut."""
    if _last_sha(journal) in ("", journal_head):
        return False
    mark = f'"sha":"{journal_head}"'.encode()
    with journal.open("rb") as file:
        return any(mark in line for line in file)


def _last_sha(journal: Path) -> str:
    """`sha` of the last whole record, empty where it can't be told."""
    size = journal.stat().st_size
    reach = 1 << 16
    while True:
        with journal.open("rb") as file:
            file.seek(max(0, size - reach))
            tail = file.read()
        end = tail.rfind(b"\n")
        start = tail.rfind(b"\n", 0, max(end, 0))
        if start >= 0 or reach >= size:
            break
        reach *= 16
    line = tail[start + 1 : end]
    _, found, rest = line.rpartition(b'"sha":"')
    return rest[:64].decode("ascii", "replace") if found else ""
