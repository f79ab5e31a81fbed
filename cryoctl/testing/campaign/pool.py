"""Cases in warm processes of their own, a few at a time: one may kill itself, and the next one has another process."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeVar

T = TypeVar("T")
Task = TypeVar("Task")

PROCESSES = 2
_SERVES = "forkserver"
_GOODBYE_S = 5.0
LONGEST_S = 600.0
"""Of wall time; a case that takes longer hangs."""


class Processes:
    """A process for each thread that calls; forked with everything imported where the system can do that.

    A context manager: its end ends them.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        able = _SERVES in mp.get_all_start_methods()
        self._context: Any = mp.get_context(_SERVES if able else "spawn")
        if able:
            self._context.set_forkserver_preload(list(preload))
        self._own: dict[int, tuple[Any, Connection]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process, line in self._own.values():
            line.close()
            process.join(_GOODBYE_S)
            if process.is_alive():
                process.kill()
                process.join()

    def call(self, function: Callable[..., object], *arguments: Any, longest_s: float = LONGEST_S) -> int | None:
        """Do it in this thread's process and wait for it.

        Returns:
            0, or where the process died its exit code (minus the signal that ended it), None where it hung and was
            ended.
        """
        thread = threading.get_ident()
        process, line = self._own.pop(thread, None) or self._begin()
        line.send((function, arguments))
        found = wait_for((line, process.sentinel), longest_s)
        if line in found:
            try:
                line.recv()
            except EOFError:
                pass
            else:
                self._own[thread] = (process, line)
                return 0
        if not found:
            process.kill()
        process.join()
        line.close()
        code: int | None = process.exitcode
        return code if found else None

    def _begin(self) -> tuple[Any, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,))
        process.start()
        theirs.close()
        return process, ours


def _serve(line: Connection) -> None:
    """One call after another, until the other end is closed; what libraries print tells nothing of the case."""
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        while True:
            try:
                function, arguments = line.recv()
            except (EOFError, KeyboardInterrupt):
                return
            function(*arguments)
            line.send(0)


def shared(work: Callable[[Task], T], tasks: Iterable[Task], processes: int = PROCESSES) -> Iterator[tuple[Task, T]]:
    """Tasks with what came of them, in the order in which they end; each in one of so many threads."""
    waiting = iter(tasks)
    under_way: dict[Future[T], Task] = {}
    with ThreadPoolExecutor(processes) as threads:
        while True:
            for task in waiting:
                under_way[threads.submit(work, task)] = task
                if len(under_way) >= processes:
                    break
            if not under_way:
                return
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield under_way.pop(future), future.result()
