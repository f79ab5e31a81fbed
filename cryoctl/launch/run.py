"""`run`: from a request to a packed run file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cryoctl.clock import now_s
from cryoctl.dose.ledger import DoseLedger
from cryoctl.engine.allowed import Allowed
from cryoctl.engine.ending import Ending, EndReason
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.monitors import DiskRoom, Monitors
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.outfit import Outfit
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.runner import Runner
from cryoctl.errors import RunFileError
from cryoctl.launch.connecting import close_all, connect_unless_aborted
from cryoctl.launch.counting import make_gate
from cryoctl.launch.going_on import catch_up, check_same_devices, interlocks_told, take_over
from cryoctl.launch.instrument_lock import InstrumentLock
from cryoctl.launch.own_loop import in_own_loop
from cryoctl.launch.paths import RunPaths, check_folder, claim
from cryoctl.launch.person import person
from cryoctl.launch.preflight import ON_DISK, look_ahead
from cryoctl.launch.prepare import Furnished, Prepared, furnish, prepare, record_voltage_v
from cryoctl.launch.prior import earlier_dose
from cryoctl.launch.request import Follower, OnControl, RunRequest, RunResult
from cryoctl.launch.stores import Stores, begin, go_on
from cryoctl.launch.summary import summarise
from cryoctl.launch.undertaking import Undertaking
from cryoctl.runfile.lock import RunLock
from cryoctl.steps.codec import plain
from cryoctl.streaming.event_lines import EventLines
from cryoctl.streaming.sink import Sink

if TYPE_CHECKING:
    from cryoctl.streaming.live_reconstruction import LiveFollower


@dataclass(slots=True, kw_only=True)
class Session:
    """What one process did for a run, until packing."""

    ending: Ending
    interlocks: list[dict[str, Any]]
    duration_s: float
    ledger: DoseLedger
    head: dict[str, Any]
    furnished: Furnished


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
    undertaking: Undertaking, followers: Sequence[Follower], on_control: OnControl | None, began_s: float
) -> RunResult:
    """From a checked undertaking to a packed run file and its summary.

    Args:
        began_s: `time.perf_counter()` at the start, for the wall time.

    Raises:
        BadInput, DeviceError: as `run`.
    """
    from cryoctl.engine.finish import Finished, finish  # late: the analyses of the end are slow to import

    prepared, dry = undertaking.prepared, undertaking.dry
    request, outlook = prepared.request, undertaking.outlook
    lines = EventLines(request.events) if request.events is not None else None
    live: LiveFollower | None = None
    paths: RunPaths | None = None
    operator = OperatorDesk()
    try:
        with ExitStack() as held:
            lock = held.enter_context(asked_for) if (asked_for := shared_instrument(prepared, dry)) else None
            past = undertaking.past
            paths = past.paths if past is not None else claim(request.out, prepared.name, prepared.seed)
            if lock is None:
                lock = held.enter_context(InstrumentLock.of_world(paths.parts.world))
            lock.used_by(paths.run_file)
            held.enter_context(RunLock(paths.parts.lock))
            live = live_follower(prepared, dry) if undertaking.with_live else None
            for follower in followers:
                with suppress(Exception):  # it fails again at its beginning, where that can be told
                    getattr(follower, "named", _unasked)(paths.run_file)
            if on_control is not None:
                on_control(operator.ask)
            session = in_own_loop(
                _player(undertaking, paths, followers, lines, live, operator),
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
    if dry.replay_of:
        return None
    if not prepared.virtual:
        return InstrumentLock.of_instrument(prepared.instrument.file.name)
    world = prepared.request.world
    return None if world is None else InstrumentLock.of_world(world)


def _unasked(run_file: Path) -> None:
    """A follower that does not care for the name."""


def volumes_of(live: LiveFollower | None) -> Mapping[str, Mapping[str, npt.NDArray[np.float32]]]:
    """Of the live reconstruction, none where it failed: it is no reason to lose the run's own file."""
    try:
        return live.volumes() if live is not None else {}
    except Exception:
        return {}


def live_follower(prepared: Prepared, furnished: Furnished) -> LiveFollower | None:
    """As the recipe's `live` says; None where it is off or the protocol records no series."""
    live = getattr(prepared.parameters, "live", None)
    if live is None or not live.enabled:
        return None
    from cryoctl.streaming.live_reconstruction import LiveFollower, LiveSettings

    edx = furnished.devices.edx
    described = furnished.protocol.describe().get("edx")
    return LiveFollower(
        LiveSettings(
            elements=tuple(described["elements"]) if edx is not None and described else (),
            n_channels=edx.capabilities.n_channels if edx is not None else 1,
            energy_offset_ev=edx.capabilities.energy_offset_ev if edx is not None else 0.0,
            energy_scale_ev=edx.capabilities.energy_scale_ev if edx is not None else 1.0,
            beam_energy_ev=record_voltage_v(prepared.parameters, furnished.facts),
            passes=live.passes,
        )
    )


def build_outfit(
    furnished: Furnished,
    ledger: DoseLedger,
    recorder: Recorder,
    shelf: FrameShelf,
    optics: Any,
    operator: OperatorDesk | None = None,
) -> Outfit:
    """Join devices, gate and stores."""
    devices, facts = furnished.devices, furnished.facts
    gate = make_gate(devices, facts, ledger)
    monitors = Monitors(devices=devices, recorder=recorder)
    return Outfit(
        devices=devices,
        optics=optics,
        ledger=ledger,
        recorder=recorder,
        monitors=monitors,
        operator=operator or OperatorDesk(),
        desk=ExposureDesk(devices, gate, recorder, shelf, monitors, facts.calibrated("pixel_size", 1.0)),
        shelf=shelf,
        allowed=Allowed(
            stage=facts.stage,
            image_shift_m=facts.image_shift_range_m,
            beam_current_a=facts.current_range_a[1],
            dose_rate_e_per_a2_s=facts.dose_rate_max_e_per_a2_s,
            current_ratio=facts.calibrated("beam_current", 1.0),
        ),
        identities=furnished.identities,
        on_state=tuple(furnished.context.shared.get("on_state", ())),
    )


def _player(
    undertaking: Undertaking,
    paths: RunPaths,
    followers: Sequence[Follower],
    lines: EventLines | None,
    live: LiveFollower | None,
    operator: OperatorDesk,
) -> Callable[[], Coroutine[Any, Any, Session]]:
    """What the loop is given: connect, play, close, whatever happens."""

    async def play() -> Session:
        operator.open()
        furnished = undertaking.furnisher(undertaking.prepared.request.world or paths.parts.world)
        identities = furnished.identities = await connect_unless_aborted(furnished.devices, operator)
        if undertaking.past is not None:
            check_same_devices(undertaking.past.fold, identities)
        try:
            with ExitStack() as closing:
                stores = (begin if undertaking.past is None else go_on)(undertaking, paths, furnished, closing)
                told = {name: plain(identity) for name, identity in identities.items()}
                return await _play(undertaking, paths, furnished, stores, followers, lines, live, operator, told)
        finally:
            await close_all(furnished.devices)

    return play


async def _play(
    undertaking: Undertaking,
    paths: RunPaths,
    furnished: Furnished,
    stores: Stores,
    followers: Sequence[Follower],
    lines: EventLines | None,
    live: LiveFollower | None,
    operator: OperatorDesk,
    identities: Mapping[str, Any],
) -> Session:
    prepared, head, past = undertaking.prepared, dict(stores.head), undertaking.past
    start_s = now_s() - stores.time_s
    told = {**head, "run_file": str(paths.run_file), "parts": str(paths.parts.folder)}
    begun, deaf = _begin(followers, told, undertaking)
    if past is not None:
        catch_up((*([live] if live else []), *begun), past.fold, paths.parts)
    shared = furnished.context.shared
    sinks: list[Sink] = [*([lines] if lines else []), *([live] if live else []), *begun, *shared.get("followers", ())]
    if live is not None:
        shared.setdefault("victims", {})["reconstruction"] = live.kill
    recorder = Recorder(stores.journal, sinks, start_s)
    shelf = FrameShelf(stores.frames, stores.events, recorder)
    outfit = build_outfit(furnished, stores.ledger, recorder, shelf, furnished.facts.optics, operator)
    outfit.flush = stores.sync
    outfit.on_disk_fault = stores.reserve.release
    outlook = undertaking.outlook
    outfit.monitors.disk = DiskRoom(
        free_bytes=lambda: furnished.context.medium.free_bytes(paths.parts.folder),
        frame_bytes=ON_DISK * outlook.bytes / max(1, outlook.frames),
        recorded=lambda: shelf.recorded,
    )
    resumed = None if past is None else take_over(past, furnished, outfit)
    recorder.record("session", stores.session, sync=True)
    recorder.record("identities", {"devices": identities})
    operator.take(
        "run", stores.session["reason"], " ".join(f"--set {one}" for one in prepared.request.overrides), person()
    )
    for sentence in deaf:
        recorder.event("fault", "follower", sentence, "warning")
    if past is not None:
        recorder.event("note", "resume", f"resumed: {past.reason}; {past.gap_s:.0f} s without a watch", "warning")
    runner = Runner(furnished.protocol, outfit, prepared.request.until, resumed)

    def prepared_now() -> None:
        for one in undertaking.commands:
            asyncio.get_running_loop().call_at(start_s + one.time_s, outfit.operator.take, one.command, "replay")

    ending = await runner.run(prepared_now)
    return Session(
        ending=ending,
        interlocks=[*(interlocks_told(past.fold) if past is not None else ()), *runner.interlocks_met],
        duration_s=recorder.time_s,
        ledger=stores.ledger,
        head=head,
        furnished=furnished,
    )


def _begin(
    followers: Sequence[Follower], head: dict[str, Any], undertaking: Undertaking
) -> tuple[list[Follower], list[str]]:
    """Followers that began, and a sentence for each that failed: nobody who only looks on can hinder a run."""
    begun: list[Follower] = []
    deaf: list[str] = []
    for follower in followers:
        try:
            follower.begin(head, undertaking.outlook)
            begun.append(follower)
        except Exception as error:
            deaf.append(f"{type(follower).__name__} failed at the start and was dropped: {error}")
    return begun, deaf
