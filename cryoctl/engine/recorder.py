"""One place where everything that happens is told: journal first, then the sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cryoctl.clock import now_s
from cryoctl.events import Event
from cryoctl.streaming.sink import Picture, Sink


class RecordKeeper(Protocol):
    """`runfile.journal.Journal`, or nothing in a rehearsal."""

    def append(self, kind: str, fields: Mapping[str, Any], *, t: float, sync: bool = False) -> Any: ...


class Recorder:
    """Keeps the order journal, then sinks; a sink that fails is dropped and told, the run goes on.

    Times in the journal are seconds since the start of the run.
    """

    def __init__(self, journal: RecordKeeper, sinks: Sequence[Sink], start_s: float) -> None:
        self.journal = journal
        self._sinks = list(sinks)
        self._start_s = start_s

    @property
    def time_s(self) -> float:
        return now_s() - self._start_s

    def record(self, kind: str, fields: Mapping[str, Any], *, sync: bool = False) -> None:
        self.journal.append(kind, fields, t=self.time_s, sync=sync)

    def event(
        self, event: str, name: str, message: str, level: str = "info", data: Mapping[str, Any] | None = None
    ) -> None:
        self.recorded_event(self.time_s, event, name, message, level, data)

    def recorded_event(
        self, time_s: float, event: str, name: str, message: str, level: str, data: Mapping[str, Any] | None
    ) -> None:
        """One of recorded data, which was at `time_s`."""
        told = Event(event=event, time_s=time_s, level=level, name=name, message=message, data=dict(data or {}))
        fields = {"event": event, "level": level, "name": name, "message": message, "data": told.data}
        self.journal.append("event", fields, t=time_s)
        self._tell(lambda sink: sink.event(told))

    def tell(self, event: str, name: str, message: str) -> None:
        """To the sinks only: what the journal has a record of its own for."""
        told = Event(event=event, time_s=self.time_s, level="info", name=name, message=message)
        self._tell(lambda sink: sink.event(told))

    def picture(self, picture: Picture) -> None:
        """A frame that is durable; called after its journal record."""
        self._tell(lambda sink: sink.picture(picture))

    def _tell(self, verb: Callable[[Sink], None]) -> None:
        failures: list[tuple[Sink, Exception]] = []
        for sink in tuple(self._sinks):
            try:
                verb(sink)
            except Exception as error:
                self._sinks.remove(sink)
                failures.append((sink, error))
        # Told when all others have heard what they failed at; there is one fewer each time, so this ends.
        for sink, error in failures:
            self.event(
                "fault", type(sink).__name__, f"a follower of the run failed and was dropped: {error}", "warning"
            )
