"""Which run is looked at, how it stands, and where it is read: from its parts while it goes on, then from its file."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryoctl.errors import BadInput, CryoctlError
from cryoctl.launch.control_client import CONTROL_FILE, NobodyAnswers, ask, parts_of, run_file_of
from cryoctl.runfile.parts import RunParts
from cryoctl.viewer.model.going_run import GoingRun, with_planned
from cryoctl.viewer.model.known import ALIVE, Known, Phase
from cryoctl.viewer.model.packed_run import read_packed

ASK_EVERY_S = 1.0
SILENT_S = 5.0
"""A run whose journal grew within this time is not called killed, whoever answers."""
_PHASES = {"paused": Phase.PAUSED, "securing": Phase.SECURING, "preparing": Phase.PREPARING, "idle": Phase.PREPARING}


class Watched:
    """`look` tells what is known now; call it from one thread, again and again.

    Args:
        where: a run (its file, its `.parts` folder, its name without ending), or a folder: then the newest run of it,
            and, once that is over, the next that begins there.

    Raises:
        FileProblem: there is no such run or folder.
    """

    def __init__(self, where: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = where if where.is_dir() and where.suffix != ".parts" else None
        self._run_file = run_file_of(parts_of(where)) if self._folder is None else None
        self._clock = clock
        self._going: GoingRun | None = None
        self._packed: Known | None = None
        self._packed_head = ""
        self._file_seen = (0, 0)
        self._status: dict[str, Any] | None = None
        self._silence = ""
        self._asked_s = -1e9
        self._grew_s = -1e9
        self._known = Known(run_file=None)
        self.failure: CryoctlError | None = None
        """Why the latest look found nothing that can be read."""

    def look(self) -> Known:
        """Never raises for what the run or its disk does: it is then told in `message`."""
        if self._folder is not None and self._known.phase not in ALIVE:
            newest = newest_run(self._folder)
            if newest != self._run_file:
                self._turn_to(newest)
        self.failure = None
        try:
            known = self._now()
        except CryoctlError as error:
            self.failure = error
            known = dataclasses.replace(self._known, run_file=self._run_file, phase=Phase.KILLED, message=error.message)
        if _differ(known, self._known):
            self._known = dataclasses.replace(known, version=self._known.version + 1)
        return self._known

    def close(self) -> None:
        """May be called twice."""
        if self._going is not None:
            self._going.close()

    def ask_again(self) -> None:
        """The next look asks the run how it stands, since it was just told something."""
        self._asked_s = -1e9

    def _turn_to(self, run_file: Path | None) -> None:
        self.close()
        self._run_file, self._going, self._packed, self._packed_head = run_file, None, None, ""
        self._file_seen, self._status, self._asked_s, self._grew_s = (0, 0), None, -1e9, -1e9

    def _now(self) -> Known:
        run_file = self._run_file
        if run_file is None:
            return Known(run_file=None, message=f"no run in {self._folder} yet; the first that begins is shown")
        if not RunParts.beside(run_file).journal.exists():
            self._ask(run_file)
            if self._status is not None:
                return with_planned(Known(run_file=run_file, phase=Phase.PREPARING, status="preparing"), self._status)
            return self._from_file(run_file) or self._known
        if self._going is None:
            self._going = GoingRun(run_file)
            self._going.more()  # that it has a past says nothing of its present
        elif self._going.more():
            self._grew_s = self._clock()
        if not self._going.begun:
            raise CryoctlError(self._going.problem or f"{run_file.stem}: its journal has no first record yet")
        self._ask(run_file)
        if self._going.fold.end is not None and self._is_packed(run_file):
            assert self._packed is not None
            return self._packed
        known = self._with_phase(self._going.known())
        return dataclasses.replace(known, message=self._going.problem) if self._going.problem else known

    def _ask(self, run_file: Path) -> None:
        """Once a second, whether anybody has it: over its socket, since a look at its lock would be in the way."""
        if self._clock() - self._asked_s < ASK_EVERY_S:
            return
        self._asked_s = self._clock()
        try:
            self._status = ask(run_file, "status", source="view")
        except NobodyAnswers as silent:
            self._status, self._silence = None, silent.message
        except BadInput as problem:  # the run is gone from the disk
            self._status, self._silence = None, problem.message

    def _with_phase(self, known: Known) -> Known:
        if self._status is not None:
            known = with_planned(known, self._status)
        if known.status in ("completed", "limited", "aborted", "faulted"):
            if self._status is not None or self._clock() - self._grew_s < SILENT_S:
                return dataclasses.replace(known, phase=Phase.WRITING, commands=False)
            kept = "the run ended, but its file was not written; `cryoctl recover` makes one of what is kept"
            return dataclasses.replace(known, phase=Phase.KILLED, commands=False, message=kept)
        if self._status is None and self._clock() - self._grew_s >= SILENT_S:
            told = f"{self._silence}; `cryoctl resume` goes on with it, `cryoctl recover` makes a file of a copy"
            return dataclasses.replace(known, phase=Phase.KILLED, status="killed", alarm=None, message=told)
        if known.alarm is not None:
            return dataclasses.replace(known, phase=Phase.ALARM)
        return dataclasses.replace(known, phase=_PHASES.get(known.status, Phase.RUNNING))

    def _is_packed(self, run_file: Path) -> bool:
        """Whether the file tells the run up to the journal's end; read once for each time that it is written."""
        try:
            found = run_file.stat()
        except OSError:
            return False
        seen = (found.st_mtime_ns, found.st_size)
        if seen != self._file_seen:
            try:
                self._packed, self._packed_head = read_packed(run_file)
            except CryoctlError:
                self._packed, self._packed_head = None, ""
            self._file_seen = seen
        assert self._going is not None
        return self._packed is not None and self._packed_head == self._going.journal_head

    def _from_file(self, run_file: Path) -> Known | None:
        """Of a run whose parts are not here; None where it was read before and is as it was."""
        found = run_file.stat()
        if (found.st_mtime_ns, found.st_size) == self._file_seen:
            return None
        known, _ = read_packed(run_file)
        self._file_seen = (found.st_mtime_ns, found.st_size)
        return known


def newest_run(folder: Path) -> Path | None:
    """The run of a folder that listens, else the one that was written last; None where there is none."""
    found: list[tuple[bool, float, Path]] = []
    for path in (*folder.glob("*.parts"), *folder.glob("*.nxs")):
        control, journal = path / CONTROL_FILE, path / "journal.jsonl"
        for place, listens in ((control, True), (journal if path.suffix == ".parts" else path, False)):
            try:
                found.append((listens, place.stat().st_mtime, run_file_of(path)))
            except OSError:
                continue
    return max(found, default=(False, 0.0, None))[2]


def _differ(one: Known, other: Known) -> bool:
    """Whether a window has anything new to draw; arrays are compared by identity where they are kept."""
    if one is other:
        return False
    plain = ("run_file", "phase", "status", "message", "label", "step", "asked", "progress", "time_s", "predicted_s")
    more = ("frames", "frames_planned", "commands", "alarm", "dose", "exit_code")
    if any(getattr(one, name) != getattr(other, name) for name in (*plain, *more)):
        return True
    if one.slices is not other.slices or one.maps is not other.maps or len(one.happenings) != len(other.happenings):
        return True
    return one.shots != other.shots
