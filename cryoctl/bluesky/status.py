"""What a bluesky plan waits for, bridged from the session's own loop: a status of a request."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from typing import Any


class RequestStatus:
    """A `bluesky.protocols.Status` over a request's future; callbacks come from whatever thread ends it."""

    def __init__(self, future: Future[Any]) -> None:
        self.future = future

    def add_callback(self, callback: Callable[[RequestStatus], None]) -> None:
        """Called once the request is over, at once where it is."""
        self.future.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        """Why the request failed, None where it was done.

        Raises:
            TimeoutError: it is under way.
        """
        try:
            return self.future.exception(timeout)
        except StillRunning as error:
            raise TimeoutError("the request is still under way") from error

    @property
    def done(self) -> bool:
        return self.future.done()

    @property
    def success(self) -> bool:
        return self.future.done() and self.future.exception() is None

    def __repr__(self) -> str:
        """bluesky's own error shows only this."""
        if not self.done:
            return "<request under way>"
        error = self.exception()
        return "<request done>" if error is None else f"<request ended by {type(error).__name__}: {error}>"

    def wait(self, timeout: float | None = None) -> Any:
        """The result, for use without a RunEngine; raises what the request ended by."""
        return self.future.result(timeout)


def done(value: Any = None) -> RequestStatus:
    """Of what takes no time."""
    future: Future[Any] = Future()
    future.set_result(value)
    return RequestStatus(future)


def failed(error: BaseException) -> RequestStatus:
    """Of what was refused before it was asked for."""
    future: Future[Any] = Future()
    future.set_exception(error)
    return RequestStatus(future)
