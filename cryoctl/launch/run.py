"""`run`: from a request to a packed run file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cryoctl.engine.ending import Ending, EndReason
from cryoctl.engine.operator import OperatorDesk
from cryoctl.errors import RunFileError
from cryoctl.launch.instrument_lock import InstrumentLock
from cryoctl.launch.live_volumes import live_follower, volumes_of
from cryoctl.launch.own_loop import in_own_loop
from cryoctl.launch.paths import RunPaths, check_folder, claim
from cryoctl.launch.preflight import look_ahead
from cryoctl.launch.prepare import Furnished, Prepared, furnish, prepare
from cryoctl.launch.prior import earlier_dose
from cryoctl.launch.request import Follower, OnControl, RunRequest, RunResult
from cryoctl.launch.session import player
from cryoctl.launch.summary import summarise
from cryoctl.launch.undertaking import Undertaking
from cryoctl.runfile.lock import RunLock
from cryoctl.streaming.event_lines import EventLines

if TYPE_CHECKING:
    from cryoctl.streaming.live_reconstruction import LiveFollower


def run(request: RunRequest, followers: Sequence[Follower] = (), on_control: OnControl | None = None) -> RunResult:
    """Check, run, pack.

    Raises:
        BadInput: found before anything started; nothing was written.
        DeviceError: a device did not answer at the start; nothing was written.
    """
    began_s = time.perf_counter()
    return carry_through(undertake(request), followers, on_control, began_s)


def check(request: RunRequest) -> None:
    """Everything that `run` would find before it starts.

    Raises:
        BadInput: one sentence; nothing was written.
    """
    undertake(request)


def undertake(request: RunRequest) -> Undertaking:
    """
    Raises:
        BadInput: nothing was written.
    """
    prepared = prepare(request)
    check_folder(request.out)
    earlier = earlier_dose(request.specimen, request.out)
    dry = furnish(prepared, request.world)
    return Undertaking(
        prepared=prepared,
        furnisher=lambda world: furnish(prepared, world),
        dry=dry,
        earlier=earlier,
        outlook=look_ahead(prepared, dry, earlier, request.out),
        virtual=prepared.virtual,
    )


def carry_through(
    undertaking: Undertaking,
    followers: Sequence[Follower],
    on_control: OnControl | None,
    began_s: float,
    operator: OperatorDesk | None = None,
) -> RunResult:
    """From a checked undertaking to a packed run file and its summary.

    Args:
        began_s: `time.perf_counter()` at the start, for the wall time.
        operator: whose requests are carried out, for a protocol whose steps come from outside.

    Raises:
        BadInput, DeviceError: as `run`.
    """
    from cryoctl.engine.finish import Finished, finish  # late: the analyses of the end are slow to import

    prepared, dry = undertaking.prepared, undertaking.dry
    request, outlook = prepared.request, undertaking.outlook
    lines = EventLines(request.events) if request.events is not None else None
    live: LiveFollower | None = None
    paths: RunPaths | None = None
    operator = operator or OperatorDesk()
    try:
        with ExitStack() as held:
            lock = held.enter_context(asked_for) if (asked_for := shared_instrument(prepared, dry)) else None
            past = undertaking.past
            paths = past.paths if past is not None else claim(request.out, prepared.name, prepared.seed)
            if lock is None:
                lock = held.enter_context(InstrumentLock.of_world(paths.parts.world))
            lock.used_by(paths.run_file)
            held.enter_context(RunLock(paths.parts.lock))
            live = live_follower(prepared, dry, paths.parts) if undertaking.with_live else None
            for follower in followers:
                with suppress(Exception):  # it fails again at its beginning, where that can be told
                    follower.named(paths.run_file)
            if on_control is not None:
                on_control(operator.ask)
            session = in_own_loop(
                player(undertaking, paths, followers, lines, live, operator),
                virtual=undertaking.virtual,
                speed=request.speed,
            )
            try:
                finished = finish(
                    paths.run_file,
                    paths.parts.folder,
                    session.head,
                    session.furnished.devices.truth,
                    session.ledger.grid,
                    volumes_of(live),
                    medium=session.furnished.context.medium,
                )
                packed = True
            except (OSError, RunFileError) as error:
                finished, packed = Finished(), False
                session.ending = not_packed(paths.run_file, session.ending, error)
            if live is not None and live.failure:
                finished.shortfalls.append(live.failure)
            if packed and undertaking.after is not None:
                undertaking.after(paths.run_file, finished)
    except BaseException:
        if paths is not None and undertaking.past is None:
            paths.give_back()
        if lines is not None:
            lines.give_back()
        raise
    finally:
        if live is not None:
            live.close()
        if lines is not None:
            lines.close()
    summary = summarise(
        paths.run_file,
        session.ending,
        finished,
        outlook,
        wall_s=time.perf_counter() - began_s,
        interlocks=session.interlocks,
    )
    for follower in followers:
        try:
            follower.end(summary)
        except Exception as error:  # the run is over and its file whole, whatever a display makes of it
            summary["warnings"].append(f"a follower failed at the end: {type(error).__name__}: {error}")
    return RunResult(summary=summary, exit_code=session.ending.exit_code, run_file=paths.run_file)


def not_packed(run_file: Path, ending: Ending, error: OSError | RunFileError) -> Ending:
    """How a run ends whose file could not be written: the old one is as it was."""
    if ending.reason is EndReason.UNCONFIRMED:
        return ending
    why = error.message if isinstance(error, RunFileError) else error.strerror or str(error)
    return Ending(
        EndReason.DEVICE,
        f"{run_file.name}: the run ended ({ending.reason}) but its file can't be written ({why[:100]}); all is kept "
        f"in {run_file.stem}.parts: make room, then `cryoctl recover`, with --out FILE on another disk if need be",
    )


def shared_instrument(prepared: Prepared, dry: Furnished) -> InstrumentLock | None:
    """The lock on what another run could have as well; None where this run has a world of its own or only replays."""
    if dry.replay_of or prepared.instrument.file.is_remote:
        return None  # a node's lease stands for the lock
    if not prepared.virtual:
        return InstrumentLock.of_instrument(prepared.instrument.file.name)
    world = prepared.request.world
    return None if world is None else InstrumentLock.of_world(world)
