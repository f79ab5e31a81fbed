"""What one process does for a run: connect, play, close, in the run's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryoctl.clock import now_s
from cryoctl.dose.ledger import DoseLedger
from cryoctl.engine.ending import Ending
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.monitors import DiskRoom
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.runner import Runner
from cryoctl.launch.connecting import close_all, connect_unless_aborted
from cryoctl.launch.going_on import catch_up, check_same_devices, interlocks_told, take_over
from cryoctl.launch.outfitting import build_outfit
from cryoctl.launch.paths import RunPaths
from cryoctl.launch.person import person
from cryoctl.launch.preflight import ON_DISK
from cryoctl.launch.prepare import Furnished
from cryoctl.launch.request import Follower
from cryoctl.launch.stores import Stores, begin, go_on
from cryoctl.launch.undertaking import Undertaking
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


def player(
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
        try:
            if undertaking.past is not None:
                check_same_devices(undertaking.past.fold, identities)
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
    overrides = " ".join(f"--set {one}" for one in prepared.request.overrides)
    operator.take("run" if past is None else "resume", "", overrides, person())
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
