"""Keeps pictures durable and finds them again for analyses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cryoctl.engine.recorder import Recorder
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.runfile.event_store import EventPlace, ScanEvents
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.frame_store import FramePlace
from cryoctl.steps import FrameRef


class FrameKeeper(Protocol):
    """`runfile.frame_store.FrameStore`, or memory in a rehearsal."""

    def append(self, stream: str, frames: npt.NDArray[np.uint16]) -> FramePlace:
        """Store [scan frame, y, x]."""
        ...

    def read(self, segment: str, slot: int) -> npt.NDArray[np.uint16]: ...


class EventKeeper(Protocol):
    """`runfile.event_store.EventStore`, or a summed spectrum in a rehearsal."""

    def append(self, scans: Sequence[ScanEvents]) -> EventPlace:
        """Store (pixel, channel) of each scan frame."""
        ...


class FrameShelf:
    """Frames go to their segment and events to theirs, then the journal's frame record acknowledges both."""

    def __init__(self, frames: FrameKeeper, events: EventKeeper, recorder: Recorder) -> None:
        self._frames = frames
        self._events = events
        self._recorder = recorder
        self._next: dict[str, int] = {}
        self._where: dict[FrameRef, FramePlace] = {}

    def continue_after(self, fold: RunFold) -> None:
        """Go on behind the frames that a journal knows."""
        for stream, frames in fold.frames.items():
            self._next[stream] = len(fold.frame_records(stream))
            for index, record in frames.items():
                place = FramePlace(record["segment"], int(record["slot"]), record["sha256"])
                self._where[FrameRef(stream=stream, index=index)] = place

    def keep(
        self,
        stream: str,
        scans: Sequence[npt.NDArray[np.uint16]],
        edx: Sequence[EdxEvents],
        shifts_px: Sequence[tuple[float, float]],
        exposure: int,
    ) -> FrameRef:
        """Store scan frames [y, x] and their EDX events; durable when this returns."""
        stack = np.stack(scans)
        place = self._frames.append(stream, stack)
        index = self._next.get(stream, 0)
        record: dict[str, Any] = {
            "stream": stream,
            "index": index,
            "exposure": exposure,
            "segment": place.segment,
            "slot": place.slot,
            "scans": len(scans),
            "sha256": place.sha256,
            "shifts_px": [[float(dy), float(dx)] for dy, dx in shifts_px[: len(scans)]],
            "edx": None,
        }
        if edx:
            events = list(edx[: len(scans)])
            block = self._events.append([(one.pixel, one.channel) for one in events])
            record["edx"] = {
                "offset": block.offset,
                "bytes": block.bytes,
                "sha256": block.sha256,
                "counts": [len(one.channel) for one in events],
                "live_time_s": [float(one.live_time_s) for one in events],
                "real_time_s": [float(one.real_time_s) for one in events],
                "input_rate_per_s": [float(one.input_rate_per_s) for one in events],
            }
        self._recorder.record("frame", record, sync=True)
        self._next[stream] = index + 1
        reference = FrameRef(stream=stream, index=index)
        self._where[reference] = place
        return reference

    def image(self, reference: FrameRef) -> npt.NDArray[np.float32]:
        """Scan frames of a stored picture summed [y, x]."""
        place = self._where[reference]
        return np.asarray(self._frames.read(place.segment, place.slot), dtype=np.float32).sum(axis=0)

    def sha256(self, reference: FrameRef) -> str:
        return self._where[reference].sha256

    @property
    def recorded(self) -> int:
        """Frames of the record stream so far."""
        return self._next.get("image", 0)
