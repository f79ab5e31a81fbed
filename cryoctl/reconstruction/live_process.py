"""The live reconstruction in a process of its own: it can neither delay nor bring down the run.

The child is spawned (not forked), as on Windows. Tilts travel in one bounded queue, in order; volumes come back over a
pipe when asked for, slices through them stand in a file for whoever looks on (`live_slices`), where that is wanted.
Everything the parent does has a time limit, and a dead child is a fact to report, not an exception.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import queue
import signal
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.reconstruction.live_slices import SliceWriter
from cryoctl.reconstruction.series import Stack

QUEUE_TILTS = 4
_LOOK_S = 0.1
NICE = 10
"""The child computes with what the run leaves of the processor."""


class LiveProcess:
    """`LiveReconstruction` (see there for the arguments) behind a queue; a context manager.

    `failure` is None while all is well, else one sentence; after a failure `add_tilt` returns False and `volumes` {}.
    `slices_to` is the file of the slices (none without one), `target` what they are said to be of.
    """

    def __init__(
        self,
        elements: Sequence[str],
        shape: tuple[int, int],
        *,
        slices_to: Path | None = None,
        target: str = "",
        **settings: Any,
    ) -> None:
        context = mp.get_context("spawn")
        self._tilts: Any = context.Queue(QUEUE_TILTS)
        self._answers, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=serve,
            args=(self._tilts, theirs, tuple(elements), shape, settings, slices_to, target),
            name="live",
            daemon=True,
        )
        with _signals_blocked():
            self._process.start()
        theirs.close()
        self.failure: str | None = None

    @property
    def process_id(self) -> int | None:
        """The child's process id."""
        return self._process.pid

    def add_tilt(
        self,
        tilt_deg: float,
        images: Mapping[str, npt.ArrayLike],
        background: Mapping[str, npt.ArrayLike] | None = None,
        gain: float = 1.0,
        timeout_s: float = 60.0,
    ) -> bool:
        """Queue one tilt (`LiveReconstruction.add_tilt`); waits for room at most `timeout_s`.

        False if it could not be handed over (see `failure`).

        Blocks: call it from a worker thread where a loop must go on.
        """
        sent = {name: np.array(image, np.float32) for name, image in images.items()}
        expected = None if background is None else {n: np.array(b, np.float32) for n, b in background.items()}
        return self._put(("tilt", float(tilt_deg), sent, expected, float(gain)), timeout_s)

    def volumes(self, timeout_s: float = 600.0) -> dict[str, Stack]:
        """Volumes after all tilts handed over so far; waits for them at most `timeout_s`; {} after a failure."""
        if not self._put(("volumes",), timeout_s):
            return {}
        waited = 0.0
        while waited < timeout_s:
            try:
                if self._answers.poll(_LOOK_S):
                    kind, content = self._answers.recv()
                    if kind == "volumes":
                        return content
                    self.failure = str(content)
                    return {}
            except (EOFError, OSError):
                self.failure = self._died()
                return {}
            waited += _LOOK_S
        self.failure = f"live reconstruction: no volumes within {timeout_s:g} s; the run goes on without it"
        return {}

    def kill(self) -> None:
        """The child ends at once, without a word."""
        self._process.kill()
        self._process.join(5.0)

    def close(self, timeout_s: float = 5.0) -> None:
        """End the child, by force if it does not end by itself; may be called twice."""
        if self._process.is_alive():
            self._put(("end",), min(timeout_s, 1.0))
            self._process.join(timeout_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(timeout_s)
        self._tilts.cancel_join_thread()
        self._tilts.close()
        self._answers.close()

    def __enter__(self) -> LiveProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, message: tuple[Any, ...], timeout_s: float) -> bool:
        waited = 0.0
        while self.failure is None:
            if not self._process.is_alive():
                self.failure = self._died()
                break
            try:
                self._tilts.put(message, timeout=_LOOK_S)
                return True
            except queue.Full:
                waited += _LOOK_S
                if waited >= timeout_s:
                    self.failure = f"live reconstruction: its queue stayed full for {timeout_s:g} s; it is left behind"
        return False

    def _died(self) -> str:
        try:
            if self._answers.poll(0):
                kind, content = self._answers.recv()
                if kind == "failed":
                    return str(content)
        except (EOFError, OSError):
            pass
        self._process.join(1.0)
        return f"live reconstruction: its process ended (code {self._process.exitcode}); the run goes on without it"


@one_blas_thread
def serve(
    tilts: Any,
    answers: Connection,
    elements: tuple[str, ...],
    shape: tuple[int, int],
    settings: dict[str, Any],
    slices_to: Path | None = None,
    target: str = "",
) -> None:
    """The child's loop; returns at ("end",) or on the first failure, which it reports in one sentence.

    Signals of the terminal are the run's to answer; a run that is killed takes its child along.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if sys.platform != "win32":
        os.nice(NICE)
    threading.Thread(target=_follow_parent, name="follow-parent", daemon=True).start()
    try:
        from cryoctl.reconstruction.live import LiveReconstruction

        live = LiveReconstruction(elements, shape, **settings)
        slices = SliceWriter(slices_to, target) if slices_to is not None else None
        while True:
            try:
                message = tilts.get(timeout=slices.wait_s if slices is not None else None)
            except queue.Empty:
                message = ("idle",)
            if message[0] == "end":
                return
            if message[0] == "tilt":
                live.add_tilt(*message[1:])
                if slices is not None:
                    slices.tilt_taken()
            if message[0] in ("tilt", "idle"):
                if slices is not None:
                    slices.write_if_due(live.now)
            else:
                answers.send(("volumes", live.volumes()))
    except Exception as problem:
        answers.send(("failed", f"live reconstruction: {type(problem).__name__}: {problem}"[:300]))


def _follow_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _signals_blocked() -> Generator[None]:
    """A child that is started meanwhile receives nothing of what a terminal sends to all, not even while it loads."""
    if sys.platform != "win32":
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    else:
        yield
