"""A run whose steps come from bluesky plans, in a thread and a loop of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryoctl.bluesky.devices import Devices, devices_of
from cryoctl.bluesky.extra import needed
from cryoctl.bluesky.guard import attach
from cryoctl.bluesky.last_picture import LastPicture
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.requests import Look
from cryoctl.errors import BadInput, CryoctlError, DeviceError, InterlockRefused
from cryoctl.launch.calls import overrides_of
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.run import carry_through, undertake
from cryoctl.steps import CurrentMeasured, MakeSafe, MeasureCurrent, ReadBias, ReadNeedle, Step

RECIPE = "on-request"

Place = str | os.PathLike[str]


def open_session(
    recipe: Place = RECIPE,
    *,
    out: Place = ".",
    instrument: Place | None = None,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    speed: float | None = None,
    specimen: str = "",
    world: Place | None = None,
    events: Place | None = None,
    faults: Place | None = None,
) -> Session:
    """Begin a run that waits for requests; options by the names of `cryoctl.run`.

    Args:
        recipe: of the protocol `on-request`, a YAML path or the bundled one.
        instrument: an instrument file; its devices may be simulated, real, or a node's.

    Raises:
        BadInput: the extra is missing, or recipe and instrument do not go together; nothing was written.
        DeviceError: a device did not answer at the start.
    """
    needed("bluesky.protocols")
    needed("event_model")
    protocol = read_recipe(os.fspath(recipe), ())[0].protocol
    if protocol != RECIPE:
        raise BadInput(
            f"recipe: its protocol is {protocol}, a session plays {RECIPE}: `cryoctl recipes copy {RECIPE}` gives one"
        )
    request = RunRequest(
        recipe=os.fspath(recipe),
        instrument=None if instrument is None else Path(instrument),
        out=Path(out),
        seed=seed,
        overrides=overrides_of(set),
        speed=speed,
        specimen=specimen,
        world=None if world is None else Path(world),
        events=None if events is None else Path(events),
        faults=None if faults is None else Path(faults),
    )
    return Session(request)


class Session:
    """An open run; a context manager. `devices` are for plans, `close` ends the run in its safe state and packs it.

    The run is one like any other: its journal is written ahead, `cryoctl tell RUN abort` ends it, `cryoctl check`
    judges it, and a session that was killed is packed by `cryoctl resume` or `cryoctl recover`.
    """

    def __init__(self, request: RunRequest) -> None:
        began_s = time.perf_counter()
        undertaking = replace(undertake(request), with_live=False)
        self.result: RunResult | None = None
        """Once it is closed."""
        self.last = LastPicture()
        self.changes = 0
        """Steps that were asked for, but for those that only read."""
        self.pausing = False
        """A RunEngine pauses: what stops a device now is no emergency."""
        self._error: BaseException | None = None
        self._operator = OperatorDesk()
        self._requests = self._operator.requests
        self._requests.expected = True
        self._thread = threading.Thread(
            target=self._play, args=(undertaking, began_s), name="cryoctl session", daemon=True
        )
        # Before the executors of this process are shut, which packing needs; the public one comes after that.
        at_end: Callable[[Callable[[], Any]], Any] = getattr(threading, "_register_atexit", atexit.register)
        at_end(self._close_at_exit)
        self._thread.start()
        self._wait_until_it_serves()
        self.devices: Devices = devices_of(self, undertaking.dry.devices, undertaking.dry.facts)

    @property
    def run_file(self) -> Path:
        return self.last.run_file

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def ask(self, step: Step[Any]) -> Future[Any]:
        """Have a step carried out, after those asked for before; its result, or what the run refused it with."""
        if not isinstance(step, ReadBias | ReadNeedle):
            self.changes += 1
        return self._requests.ask(step)

    def look(self, look: Look) -> Future[Any]:
        """Have something read, between two steps: `Views` tells what; it changes nothing."""
        return self._requests.look(look)

    def withdraw(self) -> None:
        """Nobody wants what is under way any more: an exposure ends, blanked, a stage stops, what waits is dropped."""
        self._requests.withdraw()

    def measure_current(self) -> CurrentMeasured:
        """Into the Faraday cup; the specimen sees nothing. The ledger charges less the better it is known."""
        return self.ask(MeasureCurrent()).result()

    def make_safe(self, reason: str, limit_s: float | None = None) -> None:
        """What is under way ends, then the safe state, each part verified; the session goes on.

        Args:
            limit_s: how long it is waited for (real time).

        Raises:
            DeviceError: it could not be confirmed and the run has ended, or `limit_s` is over.
        """
        self.withdraw()
        for _ in range(2):  # an interlock that ends the exposures is told once, instead of a step
            try:
                self.ask(MakeSafe(reason=reason[:200])).result(limit_s)
                return
            except InterlockRefused:
                continue
            except TimeoutError as error:
                late = f"safe state: not reached within {limit_s:g} s ({reason[:100]}); look at it"
                raise DeviceError(late) from error

    def pause(self) -> None:
        """The run stands still, blanked, until `go`: a stage stops on its way and goes on then."""
        self._operator.ask("pause", "bluesky")

    def go(self) -> None:
        self._operator.ask("go", "bluesky")

    def abort(self) -> RunResult:
        """End the run at once, whatever is under way, in its safe state."""
        self._operator.ask("abort", "bluesky")
        return self._ended()

    def close(self) -> RunResult:
        """End the run once what was asked for is done, in its safe state, and pack it; may be called twice.

        Raises:
            CryoctlError: it had ended by an error before it began.
        """
        self._requests.end()
        return self._ended()

    def run_engine(self, **options: Any) -> Any:
        """A `bluesky.RunEngine` of which this session is told: see `attach`. `options` are the RunEngine's."""
        engine = needed("bluesky.run_engine").RunEngine(options.pop("md", {}), **options)
        self.attach(engine)
        return engine

    def attach(self, engine: Any) -> None:
        """Blank at once where a RunEngine is paused, aborted, stopped or halted, and bring the safe state after each
        plan that did not come to its own end."""
        attach(self, engine)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.withdraw()
        self.close()

    def __repr__(self) -> str:
        return f"<session {self.run_file.name}: {'open' if self.is_open else 'closed'}>"

    def _play(self, undertaking: Any, began_s: float) -> None:
        why = "the session has ended: open another"
        try:
            self.result = carry_through(undertaking, (self.last,), None, began_s, self._operator)
            why = f"the session has ended ({self.result.summary['message']}): open another"
        except BaseException as error:
            self._error = error
            why = f"the session has ended ({error}): open another"
        finally:
            self._requests.close(why[:300])

    def _wait_until_it_serves(self) -> None:
        async def nothing(_: Any) -> None:
            return None

        try:
            self.look(nothing).result()
        except CryoctlError:
            self._ended()
            raise

    def _ended(self) -> RunResult:
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self.result is not None
        return self.result

    def _close_at_exit(self) -> None:
        if self.is_open:
            self.withdraw()
            with contextlib.suppress(CryoctlError):
                self.close()
