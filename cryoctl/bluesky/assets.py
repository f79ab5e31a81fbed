"""References to datasets of a run file, as bluesky's stream_resource and stream_datum; nothing is copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

DATASETS = {
    "record": "/image/data/data",
    "search": "/search/data/data",
    "view": "/search/data/data",
    "focus": "/focus/data/data",
    "track": "/track/data/data",
}
"""By the kind of an exposure."""
SPECTRA = "/edx/spectra"
HDF5 = "application/x-hdf5"

StreamDocs = Iterator[tuple[str, dict[str, Any]]]


def resource(uid: str, data_key: str, run_file: Path, dataset: str, chunk_shape: Sequence[int]) -> dict[str, Any]:
    """A `stream_resource` but for its run_start."""
    return {
        "uid": uid,
        "data_key": data_key,
        "mimetype": HDF5,
        "uri": uri_of(run_file),
        "parameters": {"dataset": dataset, "chunk_shape": list(chunk_shape), "swmr": False},
    }


def uri_of(path: Path) -> str:
    """With a host, as bluesky's own writers have it."""
    return path.absolute().as_uri().replace("file:///", "file://localhost/", 1)


def stream_key(source: str, dtype_numpy: str, shape: Sequence[int]) -> dict[str, Any]:
    """A data key whose values lie elsewhere; `shape` begins with the rows an event has, 1."""
    return {"source": source, "dtype": "array", "dtype_numpy": dtype_numpy, "shape": list(shape), "external": "STREAM:"}


class StreamAssets:
    """Of one detector in a RunEngine, which numbers events by itself."""

    def __init__(self, data_key: str) -> None:
        self._data_key = data_key
        self._made: dict[str, Any] = {}
        self._uid = ""
        self._told = False
        self._rows: list[int] = []
        self._datums = 0
        self.count = 0

    def describe(self, run_file: Path, dataset: str, chunk_shape: Sequence[int]) -> None:
        """A stream of documents begins: its resource is told with its first row."""
        self._uid = str(uuid4())
        self._made = resource(self._uid, self._data_key, run_file, dataset, chunk_shape)
        self._told, self._datums = False, 0

    def data_key(self, dtype_numpy: str, shape: Sequence[int]) -> dict[str, Any]:
        return stream_key(f"{self._made['uri']}{self._made['parameters']['dataset']}", dtype_numpy, shape)

    def came(self, row: int) -> None:
        """A picture lies in this row."""
        self._rows.append(row)
        self.count += 1

    def collect(self) -> StreamDocs:
        """What has not been told yet."""
        rows, self._rows = self._rows, []
        for row in rows:
            if not self._told:
                self._told = True
                yield "stream_resource", dict(self._made)
            yield (
                "stream_datum",
                {
                    "uid": f"{self._uid}/{self._datums}",
                    "stream_resource": self._uid,
                    "descriptor": "",
                    "indices": {"start": row, "stop": row + 1},
                    "seq_nums": {"start": 0, "stop": 0},
                },
            )
            self._datums += 1
