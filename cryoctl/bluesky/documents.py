"""A run file told as bluesky documents: finished, running or killed, in the order in which event-model wants them.

Record frames are the stream `primary`; pictures of the other streams, all exposures, each monitor and what was told
follow as streams of their own. Pictures and spectra are referred to where they lie, not copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cryoctl.bluesky.jsonl import write_jsonl
from cryoctl.bluesky.streams import Stream, streams_of
from cryoctl.runfile.export.series import file_for
from cryoctl.runfile.node import Node
from cryoctl.runfile.reader import Run, open_run

Document = tuple[str, dict[str, Any]]

_EXIT_STATUS = {"completed": "success", "limited": "abort", "aborted": "abort", "faulted": "fail"}
"""By how a run ended. One that dose or an interlock ended early is no success to who only reads this word."""


def documents(path: str | PathLike[str]) -> Iterator[Document]:
    """(name, document) from start to stop; a run that goes on has no stop yet, one that was killed has a failed one.

    The same run gives the same documents, uids included.

    Raises:
        FileProblem, RunFileError: as `open_run`.
    """
    with open_run(Path(path)) as run:
        yield from documents_of(run)


def documents_of(run: Run) -> Iterator[Document]:
    """As `documents`, of a run that is open."""
    start = start_of(run)
    yield "start", start
    counts: dict[str, int] = {}
    for stream in streams_of(run, start["uid"], float(start["time"])):
        counts[stream.name] = len(stream)
        yield from _stream(stream)
    stop = _stop(run, start, counts)
    if stop is not None:
        yield "stop", stop


def start_of(run: Run) -> dict[str, Any]:
    """What the run was: recipe and instrument as texts, seed, software."""
    entry = run.entry
    began = str(entry["start_time"])
    identity = uuid5(NAMESPACE_URL, f"cryoctl/{entry['run']}/{began}/{entry['seed']}")
    told: dict[str, Any] = {
        "uid": str(identity),
        "time": datetime.fromisoformat(began).timestamp(),
        "plan_name": str(entry["protocol"]),
        "plan_type": "cryoctl",
        "title": str(entry["title"]),
        "sample": str(entry["specimen"]) or "unnamed",
        "run_file": str(run.path.absolute()),
        "run": str(entry["run"]),
        "recipe": str(entry["recipe"]),
        "instrument": _text(entry, "instrument"),
        "seed": int(entry["seed"]),
        "software": _texts(entry["software"]),
        "simulated": bool(entry["simulated"]),
        "format_version": int(entry["format_version"]),
        "packed": run.packed,
        "hints": {"dimensions": [[["tilt_deg"], "primary"]]},
    }
    limit = float(entry["dose"]["limit_e_per_a2"])
    return told | ({"dose_limit_e_per_a2": limit} if math.isfinite(limit) else {})


def export(run: Run, out: Path | None = None) -> tuple[Path, ...]:
    """One document a line, ``[name, document]``, as suitcase-jsonl has them; numbers that are none are null."""
    path = file_for(run, out, f"{run.path.stem}.jsonl")
    write_jsonl(path, documents_of(run))
    return (path,)


def _stream(stream: Stream) -> Iterator[Document]:
    yield "descriptor", stream.descriptor
    for asset in stream.assets:
        yield "stream_resource", asset.resource
        for datum in asset.datums:
            yield "stream_datum", datum
    for event in stream.events():
        yield "event", event


def _stop(run: Run, start: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any] | None:
    status, entry = run.status, run.entry
    ended = status in _EXIT_STATUS
    if not ended and run.is_live:
        return None
    last_s = float(entry["duration_s"]) if "duration_s" in entry else 0.0
    return {
        "uid": str(uuid5(NAMESPACE_URL, f"{start['uid']}/stop")),
        "run_start": start["uid"],
        "time": float(start["time"]) + last_s,
        "exit_status": _EXIT_STATUS[status] if ended else "fail",
        "reason": _text(entry, "message") if ended else "its process died; `cryoctl recover` or `resume` the run",
        "num_events": dict(counts),
    }


def _text(entry: Node, name: str) -> str:
    if name not in entry:
        return ""
    value = entry[name]
    return str(value["yaml"]) if isinstance(value, Node) and "yaml" in value else str(value)


def _texts(node: Any) -> dict[str, str]:
    return {name: str(node[name]) for name in node}
