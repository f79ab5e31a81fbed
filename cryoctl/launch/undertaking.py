"""A run or a replay that was checked and can begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cryoctl.launch.paths import RunPaths
from cryoctl.launch.prepare import Furnished, Prepared
from cryoctl.launch.prior import EarlierDose
from cryoctl.launch.request import Outlook
from cryoctl.runfile.fold import RunFold

if TYPE_CHECKING:
    from cryoctl.engine.finish import Finished

Furnisher = Callable[[Path | None], Furnished]
"""Builds devices and protocol for a world file (None: only to look at what they allow)."""
After = Callable[[Path, "Finished"], None]
"""What is done to the packed file before it is summed up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What earlier sessions left of a run that is gone on with.

    `time_s` is the run's own time at which it goes on, `gap_s` how long nobody watched, `reason` a few words for the
    file. `prior` is the dose [y, x] that the specimen had before the run, None for none.
    """

    paths: RunPaths
    fold: RunFold
    time_s: float
    gap_s: float
    reason: str
    prior: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undertaking:
    """A run, a resumed one or a replay, checked; `carry_through` does it. `dry` was furnished without a world."""

    prepared: Prepared
    furnisher: Furnisher
    dry: Furnished
    earlier: EarlierDose
    outlook: Outlook
    virtual: bool
    commands: tuple[RecordedCommand, ...] = ()
    with_live: bool = True
    after: After | None = None
    past: Past | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCommand:
    """What an operator asked for in a run that is replayed, at its run time."""

    time_s: float
    command: str
