"""The streams of a run's documents: columns of its tables, and references to its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from cryoctl.bluesky.assets import SPECTRA, resource, stream_key
from cryoctl.runfile.parts import PartsReader
from cryoctl.runfile.reader import Run

PICTURES = {"image": "primary", "search": "search", "focus": "focus", "track": "track"}
"""Streams of pictures of a run file, and what they are called here: record frames are the run's purpose."""
_OF_FRAME = (
    "exposure", "kind", "target", "tilt_deg", "x_m", "y_m", "z_m", "defocus_m", "duration_s", "beam_current_a",
    "dose_e_per_a2", "cumulative_dose_e_per_a2", "bias_v", "bias_a", "temperature_k", "outcome", "dose_source",
)  # fmt: skip
"""Of the exposure that made a frame."""
_TOLD = ("event", "level", "name", "message")
_UNITS = {
    "_e_per_a2": "e/A^2", "_deg": "deg", "_m": "m", "_s": "s", "_a": "A", "_v": "V", "_k": "K", "_c": "C",
}  # fmt: skip
"""By how a column's name ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Where the values of one data key lie."""

    resource: dict[str, Any]
    datums: tuple[dict[str, Any], ...]


@dataclass(slots=True, kw_only=True)
class Stream:
    """One event a row of `columns`, at `time_s` (run time); `began` is the run's start in Unix time."""

    name: str
    run_uid: str
    began: float
    time_s: Sequence[float]
    columns: Mapping[str, Sequence[Any]]
    keys: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    assets: list[Asset] = field(default_factory=list[Asset])
    hints: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def uid(self) -> str:
        return str(uuid5(NAMESPACE_URL, f"{self.run_uid}/{self.name}"))

    @property
    def descriptor(self) -> dict[str, Any]:
        keys = {name: _key(self.name, name, values) for name, values in self.columns.items()} | self.keys
        return {
            "uid": self.uid,
            "run_start": self.run_uid,
            "time": self.began + (float(self.time_s[0]) if len(self) else 0.0),
            "name": self.name,
            "data_keys": keys,
            "object_keys": {"cryoctl": list(keys)},
            "configuration": {},
            "hints": {"cryoctl": {"fields": list(self.hints)}},
        }

    def refer(self, name: str, made: dict[str, Any], rows: Sequence[tuple[int, int]], key: dict[str, Any]) -> None:
        """Values of `name` lie in `made`; `rows` are (event from 0, row) of those that are there."""
        self.keys[name] = key
        made = {**made, "run_start": self.run_uid}
        datums = tuple(
            {
                "uid": f"{made['uid']}/{number}",
                "stream_resource": made["uid"],
                "descriptor": self.uid,
                "indices": {"start": row, "stop": row + length},
                "seq_nums": {"start": event + 1, "stop": event + 1 + length},
            }
            for number, (event, row, length) in enumerate(_stretches(rows))
        )
        self.assets.append(Asset(resource=made, datums=datums))

    def events(self) -> Iterator[dict[str, Any]]:
        values = {name: _plain(column) for name, column in self.columns.items()}
        for index, time_s in enumerate(self.time_s):
            time = self.began + float(time_s)
            yield {
                "uid": str(uuid5(NAMESPACE_URL, f"{self.uid}/{index}")),
                "descriptor": self.uid,
                "seq_num": index + 1,
                "time": time,
                "data": {name: column[index] for name, column in values.items()},
                "timestamps": dict.fromkeys(values, time),
                "filled": {},
            }


def streams_of(run: Run, run_uid: str, began: float) -> Iterator[Stream]:
    """Those with at least one event."""
    for group, name in PICTURES.items():
        if group in run:
            yield _pictures(run, group, name, run_uid, began)
    columns = {name: run.exposures[name] for name in run.exposures if name not in ("time_s", "shape")}
    if len(run.exposures.time_s):
        times = run.exposures.time_s
        yield Stream(name="exposures", run_uid=run_uid, began=began, time_s=times, columns=columns)
    for name in run.monitors if "monitors" in run.entry else ():
        trace = run.monitors[name]
        if len(trace.time_s):
            stream = Stream(
                name=f"monitor_{name}",
                run_uid=run_uid,
                began=began,
                time_s=trace.time_s,
                columns={name: trace.value},
                hints=(name,),
            )
            stream.keys[name] = {**_key(stream.name, name, trace.value), "units": _units(run, name)}
            yield stream
    if "events" in run.entry and len(run.events.time_s):
        told = {name: run.events[name] for name in _TOLD}
        yield Stream(name="told", run_uid=run_uid, began=began, time_s=run.events.time_s, columns=told)


def _pictures(run: Run, group: str, name: str, run_uid: str, began: float) -> Stream:
    pictures = run.root.group(group)
    rows = {int(exposure): row for row, exposure in enumerate(run.exposures.exposure)}
    of_frame = [rows[int(exposure)] for exposure in pictures.value("exposure")]
    columns: dict[str, Sequence[Any]] = {}
    for column in _OF_FRAME:
        values = run.exposures[column]
        columns[column] = [values[row] for row in of_frame]
    columns["sha256"] = pictures.value("sha256")
    if group == "image" and "edx" in run:
        counts = run.edx.window_counts
        columns |= {f"window_counts_{element}": counts[element] for element in counts}
    stream = Stream(
        name=name,
        run_uid=run_uid,
        began=began,
        time_s=pictures.value("time_s"),
        columns=columns,
        hints=tuple(one for one in columns if one.startswith("window_counts_")) or ("dose_e_per_a2",),
    )
    if run.packed:
        _refer_to_run_file(run, group, stream)
    else:
        _refer_to_segments(run, group, stream)
    return stream


def _refer_to_run_file(run: Run, group: str, stream: Stream) -> None:
    wanted = {"picture": f"/{group}/data/data"}
    if group == "image" and "edx" in run:
        wanted["spectrum"] = SPECTRA
    for name, place in wanted.items():
        shape = run.root.dataset(place.removeprefix("/")).shape[1:]
        uid = str(uuid5(NAMESPACE_URL, f"{stream.uid}/{name}"))
        made = resource(uid, name, run.path, place, (1, *shape))
        key = stream_key(f"{made['uri']}{place}", "<u4", (1, *shape))
        stream.refer(name, made, [(row, row) for row in range(len(stream))], key)


def _refer_to_segments(run: Run, group: str, stream: Stream) -> None:
    """Until a run is packed its scan frames lie in segments; told where all frames of a stream are of one shape, which
    a data key needs."""
    reader = PartsReader(run.parts)
    try:
        records = reader.fold.frame_records(group)[: len(stream)]
        shapes = {reader.frame_shape(record) for record in records}
    finally:
        reader.close()
    if len(shapes) != 1:
        return
    shape = tuple(int(size) for size in shapes.pop())
    for segment in dict.fromkeys(str(record["segment"]) for record in records):
        rows = [(event, int(one["slot"])) for event, one in enumerate(records) if one["segment"] == segment]
        uid = str(uuid5(NAMESPACE_URL, f"{stream.uid}/scans/{segment}"))
        made = resource(uid, "scans", run.parts.frames / segment, "/frames", (1, *shape))
        stream.refer("scans", made, rows, stream_key(f"{run.parts.folder.name}/frames", "<u2", (1, *shape)))


def _stretches(rows: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(event, row, length) of what follows one another in both."""
    start: tuple[int, int] | None = None
    length = 0
    for event, row in rows:
        if start is not None and (event, row) == (start[0] + length, start[1] + length):
            length += 1
            continue
        if start is not None:
            yield (*start, length)
        start, length = (event, row), 1
    if start is not None:
        yield (*start, length)


def _key(source: str, name: str, values: Sequence[Any]) -> dict[str, Any]:
    kind = np.asarray(values).dtype.kind
    key: dict[str, Any] = {"source": f"cryoctl/{source}/{name}", "shape": []}
    if kind == "f":
        key |= {"dtype": "number", "dtype_numpy": "<f8"}
    elif kind in "iu":
        key |= {"dtype": "integer", "dtype_numpy": "<i8"}
    elif kind == "b":
        key |= {"dtype": "boolean"}
    else:
        key |= {"dtype": "string"}
    units = next((units for ending, units in _UNITS.items() if name.endswith(ending)), "")
    return key | ({"units": units} if units and kind == "f" else {})


def _units(run: Run, monitor: str) -> str:
    return str(run.root.dataset(f"entry/monitors/{monitor}/value").attr("units", ""))


def _plain(values: Sequence[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else [_scalar(one) for one in values]


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
