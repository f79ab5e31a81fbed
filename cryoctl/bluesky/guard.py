"""A RunEngine and a session: what it means for the instrument that a plan is paused, aborted, halted or fails."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from cryoctl.bluesky.extra import needed
from cryoctl.errors import CryoctlError

if TYPE_CHECKING:
    from cryoctl.bluesky.session import Session

LIMIT_S = 30.0
"""A plan that did not come to its end waits so long for the safe state (real time)."""
_PAUSING = ("pausing", "paused")
_NOT_WANTED = ("stopping", "aborting", "halting", "panicked")
"""States in which nobody wants what is under way any more."""


def attach(session: Session, engine: Any) -> None:
    """See `Session.attach`. A `state_hook` that the engine has already is called as before."""
    before = engine.state_hook

    def changed(state: str, old: str | None) -> None:
        was_pausing, session.pausing = session.pausing, state in _PAUSING
        if state in _NOT_WANTED:
            session.withdraw()
        if session.pausing and not was_pausing:
            session.pause()
        elif was_pausing and not session.pausing:
            session.go()
        if before is not None:
            before(state, old)

    engine.state_hook = changed

    def guard(plan: Any) -> Generator[Any, Any, Any]:
        return guarded(session, plan)

    engine.preprocessors.append(guard)


def guarded(session: Session, plan: Any) -> Generator[Any, Any, Any]:
    """The plan itself; where anything but its own end ends it the session is brought to its safe state.

    What is thrown into a plan is seen here before the plan's own cleaning up, so that blanking does not wait for that.
    """
    playing = needed("bluesky.utils").ensure_generator(plan)
    result: Any = None
    error: BaseException | None = None
    while True:
        try:
            message = playing.send(result) if error is None else playing.throw(error)
        except StopIteration as over:
            return over.value
        except BaseException as failure:
            _secure(session, failure)
            raise
        result, error = None, None
        try:
            result = yield message
        except GeneratorExit:
            session.withdraw()
            with contextlib.suppress(Exception):  # a plan that fails while it is closed must not hide the reason
                playing.close()
            _secure(session, None)
            raise
        except BaseException as thrown:
            session.withdraw()
            error = thrown


def _secure(session: Session, failure: BaseException | None) -> None:
    """Where the safe state is not confirmed the session ends, which is the run's own safe state."""
    reason = "a plan was closed" if failure is None else f"a plan ended by {type(failure).__name__} {failure}".strip()
    try:
        session.make_safe(" ".join(reason.split()), LIMIT_S)
    except CryoctlError as error:
        logging.getLogger("cryoctl.bluesky").error("after %s: %s", reason, error.message)
