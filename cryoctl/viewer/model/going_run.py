"""Reads a run from its `.parts` folder while it goes on, or after it was killed: what is new each time, no lock."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.errors import CryoctlError, RunFileError
from cryoctl.events import Event
from cryoctl.launch.snapshot import Snapshot
from cryoctl.reconstruction.live_slices import LiveSlices, read_slices
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import Record
from cryoctl.runfile.journal_tail import JournalTail
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.runfile.registered import channels_in_window, registered_events, registered_sum
from cryoctl.viewer.model.dose_so_far import UNDER_WAY, DoseSoFar
from cryoctl.viewer.model.known import Alarm, DoseNow, ElementMaps, Happening, Image, Known, Particles, Shot, Trace
from cryoctl.viewer.model.particle_areas import EVENT as PARTICLES
from cryoctl.viewer.model.particle_areas import LiveAreas, particles_of

WINDOW_COUNTS = "counts in the line's window, this frame"
_OVER = ("ended the run", "refused")


class GoingRun:
    """`more` takes in what was written since; `known` tells all of it. Not for two threads at once."""

    def __init__(self, run_file: Path) -> None:
        self._run_file = run_file
        self._parts = RunParts.beside(run_file)
        self._tail = JournalTail(self._parts.journal)
        self._reader: PartsReader | None = None
        self.fold = RunFold()
        self._snapshot = Snapshot()
        self._dose: DoseSoFar | None = None
        self._dose_now = DoseNow()
        self._alarm: Alarm | None = None
        self._happenings: list[Happening] = []
        self._shots: dict[str, Shot] = {}
        self._maps: ElementMaps | None = None
        self._slices: LiveSlices | None = None
        self._slices_of = (0, 0)
        self._areas = LiveAreas()
        self.problem = ""
        """Why the rest of it can't be read."""

    @property
    def begun(self) -> bool:
        return bool(self.fold.head)

    @property
    def journal_head(self) -> str:
        return self.fold.journal_head

    def more(self) -> bool:
        """Whether anything was new."""
        try:
            records = self._tail.more()
            for record in records:
                self._take(record)
            self.problem = ""
        except RunFileError as error:
            self.problem, records = error.message, []
        if records:
            self._dose_now = self._dose.now() if self._dose is not None else DoseNow()
            self._look_at_pictures()
        return self._look_at_slices() or bool(records)

    def close(self) -> None:
        """May be called twice."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def known(self) -> Known:
        """What does not depend on who answers; the phase is for `Watched` to tell."""
        fold, now, end = self.fold, self._snapshot, self.fold.end or {}
        head = fold.head
        image = head.get("image") or {}
        return Known(
            run_file=self._run_file,
            status=fold.status,
            end_reason=str(end.get("end_reason") or ""),
            exit_code=int(end["exit_code"]) if end.get("exit_code") is not None else None,
            message=str(end.get("message") or ""),
            title=str(head.get("title") or ""),
            specimen=str(head.get("specimen") or ""),
            simulated=bool(head.get("simulated", False)),
            label=now.label,
            step=now.step,
            asked=now.asked,
            progress=now.progress,
            time_s=fold.time_s,
            predicted_s=number((head.get("predicted") or {}).get("duration_s") or 0.0),
            frames=len(fold.frames.get("image", {})),
            alarm=self._alarm if now.alarm else None,
            dose=self._dose_now,
            shots=dict(self._shots),
            maps=self._maps,
            slices=self._slices,
            voxel_size_m=number(image.get("pixel_size_m")) if image.get("pixel_size_m") else float("nan"),
            traces=self._traces(),
            particles=self._particles(),
            happenings=tuple(self._happenings),
        )

    def _take(self, record: Record) -> None:
        told = len(self.fold.events)
        self.fold.feed(record)
        for row in self.fold.events[told:]:
            self._happened(Event(**row))
        match record["k"]:
            case "head":
                self._begin()
            case "status":
                self._snapshot.event(_event("status", record, str(record["status"])))
            case "intent" | "exposed" if self._dose is not None:
                one = self.fold.exposures[int(record["exposure"])]
                kind = str(one.row.get("kind", "")) if one.done else UNDER_WAY
                self._dose.lay(int(record["exposure"]), kind, one.deposits)
            case _:
                pass

    def _begin(self) -> None:
        fold, dose = self.fold, self.fold.head["dose"]
        self._reader = PartsReader(self._parts, fold)
        planned = fold.head.get("planned_peak_e_per_a2")
        self._dose = DoseSoFar(
            fold.grid,
            fold.limit_e_per_a2,
            number(planned) if planned is not None else float("nan"),
            bool(dose.get("known", True)),
            self._reader.prior_dose() if dose.get("prior") else None,
        )

    def _happened(self, event: Event) -> None:
        self._snapshot.event(event)
        self._areas.event(event)
        if event.event in ("progress", PARTICLES):
            return
        self._happenings.append(Happening(event.time_s, event.level, event.event, event.name, event.message))
        if event.event == "interlock":
            policy, outcome = (str(event.data.get(key, "")) for key in ("policy", "outcome"))
            self._alarm = Alarm(
                name=event.name,
                message=event.message,
                policy=policy,
                answerable=policy == "pause" and outcome not in _OVER,
            )

    def _look_at_pictures(self) -> None:
        """The latest of each stream, where it is new; one that can't be read is left out, the journal tells why."""
        assert self._reader is not None
        for stream, frames in self.fold.frames.items():
            index = max(frames)
            shown = self._shots.get(stream)
            if shown is not None and shown.index == index:
                continue
            try:
                shot = self._shot(self._reader, stream, frames[index])
                maps = self._element_maps(self._reader, frames[index], shot)
            except CryoctlError as error:
                self.problem = error.message
                continue
            self._shots[stream] = shot
            self._maps = maps or self._maps

    def _shot(self, reader: PartsReader, stream: str, record: Record) -> Shot:
        row = self.fold.exposures[int(record["exposure"])].row
        return Shot(
            stream=stream,
            index=int(record["index"]),
            exposure=int(record["exposure"]),
            kind=str(row.get("kind") or ""),
            target=str(row.get("target") or ""),
            tilt_deg=number(row.get("tilt_deg")),
            time_s=number(row.get("time_s")),
            pixel_size_m=number(row.get("pixel_size_m")),
            image=registered_sum(reader.read_frame(record), record["shifts_px"]),
        )

    def _element_maps(self, reader: PartsReader, record: Record, shot: Shot) -> ElementMaps | None:
        edx: dict[str, Any] | None = self.fold.head.get("edx")
        if edx is None or record.get("edx") is None:
            return None
        rows, columns = shot.image.shape
        pixel, channel = registered_events(reader.read_events(record), record["shifts_px"], (rows, columns))
        maps: dict[str, Image] = {}
        for element in edx.get("elements") or edx["lines_ev"]:
            window = channels_in_window(
                int(edx["n_channels"]),
                float(edx["energy_offset_ev"]),
                float(edx["energy_scale_ev"]),
                float(edx["lines_ev"][element]),
                float(edx["window_ev"]),
            )
            inside = pixel[(channel >= window.start) & (channel < window.stop)]
            maps[element] = np.bincount(inside, minlength=rows * columns)[: rows * columns].reshape(rows, columns)
        return ElementMaps(
            frame=shot.index, tilt_deg=shot.tilt_deg, pixel_size_m=shot.pixel_size_m, maps=maps, what=WINDOW_COUNTS
        )

    def _look_at_slices(self) -> bool:
        try:
            found = self._parts.live_slices.stat()
        except OSError:
            return False
        if (found.st_mtime_ns, found.st_size) == self._slices_of:
            return False
        slices = read_slices(self._parts.live_slices)
        self._slices_of = (found.st_mtime_ns, found.st_size)
        self._slices = slices or self._slices
        return slices is not None

    def _traces(self) -> dict[str, Trace]:
        found = {
            name: Trace(unit=one.unit, time_s=np.array(one.times_s), value=np.array(one.values))
            for name, one in self.fold.monitors.items()
        }
        rows = [one.row for one in self.fold.exposures.values() if one.row.get("kind") == "record"]
        if rows:
            times, tilts = (np.array([number(row.get(key)) for row in rows]) for key in ("time_s", "tilt_deg"))
            found["tilt"] = Trace(unit="deg", time_s=times, value=tilts)
        return found

    def _particles(self) -> Particles | None:
        concluded = self.fold.conclusions.get("particles")
        return particles_of(concluded) if concluded else self._areas.particles()


def _event(kind: str, record: Record, name: str) -> Event:
    return Event(event=kind, time_s=float(record["t"]), level="info", name=name, message=name)


def with_planned(known: Known, status: dict[str, Any]) -> Known:
    """With what only the process knows: how many frames are foretold, and that it connects."""
    return dataclasses.replace(
        known,
        frames_planned=int(status.get("frames_planned") or 0),
        predicted_s=known.predicted_s or float(status.get("predicted_s") or 0.0),
        step=known.step or str(status.get("step") or ""),
        commands=True,
    )
