"""What belongs to a run beside its file: `RUN.parts/` with journal, segments, events, world and lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryoctl.errors import FileProblem
from cryoctl.runfile.event_store import EventStore, ScanEvents
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.frame_store import FrameReader, Frames
from cryoctl.runfile.journal import Record, load_journal


@dataclass(frozen=True, slots=True)
class RunParts:
    """Paths of one run; nothing is opened."""

    folder: Path

    @classmethod
    def beside(cls, run_file: Path) -> RunParts:
        """The parts of ``DIR/RECIPE_SEED_NNN.nxs``."""
        return cls(run_file.with_suffix(".parts"))

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def frames(self) -> Path:
        return self.folder / "frames"

    @property
    def edx_events(self) -> Path:
        return self.folder / "edx_events.bin"

    @property
    def world(self) -> Path:
        return self.folder / "world.bin"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def reserve(self) -> Path:
        return self.folder / "reserve"

    @property
    def prior_dose(self) -> Path:
        return self.folder / "prior_dose.npy"

    @property
    def seals(self) -> Path:
        return self.folder / "seals.jsonl"

    @property
    def live_slices(self) -> Path:
        """Of the live reconstruction while a run goes on in real time (`reconstruction.live_slices`)."""
        return self.folder / "live_slices.npz"

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def make(self) -> None:
        """The folder of a new run; raises `FileExistsError` where it is there already."""
        self.folder.mkdir(parents=True)
        self.frames.mkdir()


class PartsReader:
    """Journal, frames and events of a run through one door; also while the run goes on. `close` it.

    `read_frame` and `read_events` check the checksum that the journal holds.
    """

    def __init__(self, parts: RunParts, fold: RunFold | None = None) -> None:
        self.parts = parts
        if fold is None:
            if not parts.journal.exists():
                raise FileProblem(f"{parts.folder} holds no journal: name a run whose .parts folder is whole")
            fold = RunFold.of(load_journal(parts.journal).records)
        self.fold = fold
        self._frames = FrameReader(parts.frames)
        self._events: EventStore | None = None

    def read_frame(self, record: Record) -> Frames:
        """uint16 [scans, y, x] of a frame record. Raises `RunFileError` where it is damaged or lost."""
        return self._frames.read(record["segment"], record["slot"], record["sha256"])

    def frame_shape(self, record: Record) -> tuple[int, int, int]:
        """Scans, rows and columns of a frame, without reading it."""
        return self._frames.shape(record["segment"])

    def read_events(self, record: Record) -> list[ScanEvents]:
        """(pixel, channel) of each scan frame of a frame record that has EDX, else an empty list."""
        edx = record.get("edx")
        if edx is None:
            return []
        if self._events is None:
            if not self.parts.edx_events.exists():
                raise FileProblem(f"{self.parts.edx_events} does not exist: the EDX events of the run are lost")
            self._events = EventStore(self.parts.edx_events, write=False)
        return self._events.read(edx["offset"], edx["bytes"], edx["sha256"])

    def prior_dose(self) -> npt.NDArray[np.float64] | None:
        """Dose map [y, x] that earlier runs left, None where there is none."""
        if not self.parts.prior_dose.exists():
            return None
        return np.asarray(np.load(self.parts.prior_dose), dtype=np.float64)

    def close(self) -> None:
        """May be called twice."""
        self._frames.close()
        if self._events is not None:
            self._events.close()
