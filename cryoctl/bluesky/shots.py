"""One exposure for all detectors that are triggered for it: EDX is taken along with a picture, not exposed again."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from cryoctl.bluesky.framing import Framing
from cryoctl.errors import BadInput, StepLost
from cryoctl.steps import Exposed
from cryoctl.streaming.sink import Picture

if TYPE_CHECKING:
    from cryoctl.bluesky.session import Session


@dataclass(slots=True, kw_only=True, eq=False)
class Shot:
    """`partners` are the detectors that it is for, `taken` those of them that have been triggered for it, `changes` how
    much the session had been asked to change by then."""

    future: Future[Exposed]
    framing: Framing
    changes: int
    partners: frozenset[str]
    taken: set[str] = field(default_factory=set[str])
    picture: Picture | None = None


class Shots:
    """Detectors that are staged together share their exposures; one that is not has its own.

    Args:
        edx: name of the EDX detector, empty where there is none.
        edx_pixels: the most that it follows, None for any number.
    """

    def __init__(self, session: Session, edx: str, edx_pixels: int | None = None) -> None:
        self._edx_pixels = edx_pixels
        self._session = session
        self._edx = edx
        self._lock = Lock()
        self._staged: list[str] = []
        self._last: Shot | None = None

    def stage(self, name: str) -> None:
        with self._lock:
            if name not in self._staged:
                self._staged.append(name)
            self._last = None

    def unstage(self, name: str) -> None:
        with self._lock:
            if name in self._staged:
                self._staged.remove(name)
            self._last = None

    def take(self, name: str, detector: str, framing: Framing) -> Shot:
        """The shot for this trigger: that for which its partner was triggered first, unless something was moved or set
        since then, else a new one.

        Args:
            detector: whose picture is taken.

        Raises:
            BadInput: more pixels than the EDX detector follows.
        """
        with self._lock:
            last = self._last
            of_it = last is not None and name in last.partners and name not in last.taken
            if last is not None and of_it and last.changes == self._session.changes:
                last.taken.add(name)
                return last
            partners = self._partners(name, detector)
            step = framing.exposure(detector=detector, edx=bool(self._edx) and self._edx in partners)
            rows, columns = framing.shape
            if step.edx and self._edx_pixels is not None and rows * columns > self._edx_pixels:
                raise BadInput(f"shape: {rows} x {columns} pixels, {self._edx} follows {self._edx_pixels}; take fewer")
            asked = self._session.ask(step)
            shot = Shot(
                future=Future(), framing=framing, changes=self._session.changes, partners=partners, taken={name}
            )
            asked.add_done_callback(lambda asked: self._came(shot, asked))
            self._last = shot
            return shot

    def _partners(self, name: str, detector: str) -> frozenset[str]:
        together = {one for one in (detector, self._edx) if one in self._staged} if name in self._staged else set[str]()
        return frozenset({name} | together)

    def _came(self, shot: Shot, asked: Future[Exposed]) -> None:
        """In the session's loop, before anything else is exposed."""
        error = asked.exception()
        if error is not None:
            shot.future.set_exception(error)
            return
        exposed = asked.result()
        shot.picture = self._session.last.of(exposed.exposure)
        if exposed.frame is None or shot.picture is None:
            lost = f"exposure {exposed.exposure}: stopped before a scan frame was whole; its dose is charged"
            shot.future.set_exception(StepLost(lost))
        else:
            shot.future.set_result(exposed)
