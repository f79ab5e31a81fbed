"""What a resumed run takes over from its earlier sessions: ledger, frames, followers, and whose devices they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cryoctl.engine.outfit import Outfit
from cryoctl.engine.replay import replay
from cryoctl.engine.restore import Resumed
from cryoctl.errors import BadInput
from cryoctl.events import Event
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.launch.prepare import Furnished
from cryoctl.launch.request import Follower
from cryoctl.launch.undertaking import Past
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.interlocks_met import interlocks_met
from cryoctl.runfile.journal import Record
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.streaming.sink import Picture, Sink


def check_same_devices(fold: RunFold, identities: Mapping[str, Identity]) -> None:
    """Raises `BadInput` where another instrument answers than the one that the run was begun on."""
    for name, identity in identities.items():
        before = fold.identities.get(name)
        now = (identity.maker, identity.model, identity.serial)
        if before is not None and now != (before["maker"], before["model"], before["serial"]):
            raise BadInput(
                f"{name}: the run was begun with {before['maker']} {before['model']} {before['serial']}, now "
                f"{' '.join(now)} answers: resume on the instrument of the run"
            )


def take_over(past: Past, furnished: Furnished, outfit: Outfit) -> Resumed:
    """Charge the ledger, go on counting, and bring the protocol to where the journal ends."""
    outfit.shelf.continue_after(past.fold)
    outfit.desk.continue_after(past.fold)
    return Resumed(
        standing=replay(furnished.protocol, past.fold),
        fold=past.fold,
        session=len(past.fold.sessions),
        gap_s=past.gap_s,
    )


def catch_up(followers: Sequence[Sink], fold: RunFold, parts: RunParts) -> None:
    """Tell followers of the run so far; what one of them makes of it can't hinder the run."""
    told = [
        Event(
            event=row["event"],
            time_s=row["time_s"],
            level=row["level"],
            name=row["name"],
            message=row["message"],
            data=row["data"],
        )
        for row in fold.events
    ]
    reader = PartsReader(parts, fold)
    try:
        pictures = [_picture(record, fold, reader) for record in fold.frame_records("image")]
    finally:
        reader.close()
    for follower in followers:
        try:
            for event in told:
                (follower.earlier if isinstance(follower, Follower) else follower.event)(event)
            for picture in pictures:
                follower.picture(picture)
        except Exception:  # the recorder drops it, and tells, when it fails again
            continue


def _picture(record: Record, fold: RunFold, reader: PartsReader) -> Picture:
    row = fold.exposures[int(record["exposure"])].row
    edx: Mapping[str, Any] = record.get("edx") or {}
    columns = ("live_time_s", "real_time_s", "input_rate_per_s")
    events = tuple(
        EdxEvents(pixel=pixel, channel=channel, **{name: number(edx[name][scan]) for name in columns})
        for scan, (pixel, channel) in enumerate(reader.read_events(record))
    )
    return Picture(
        stream="image",
        index=int(record["index"]),
        exposure=int(record["exposure"]),
        target=str(row.get("target") or ""),
        tilt_deg=number(row.get("tilt_deg")),
        time_s=number(row.get("time_s")),
        dose_e_per_a2=number(row.get("dose_e_per_a2")),
        sha256=str(record["sha256"]),
        scans=np.asarray(reader.read_frame(record)),
        shifts_px=tuple((number(dy), number(dx)) for dy, dx in record["shifts_px"]),
        edx=events,
    )


def interlocks_told(fold: RunFold) -> list[dict[str, Any]]:
    """Those of earlier sessions, as the summary has them."""
    rows = (row for row in fold.events if row["event"] == "interlock")
    return interlocks_met((row["time_s"], row["name"], row["data"]) for row in rows)
