"""From what the unit counted to the events of a scan frame, or the sentence that says why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryoctl.errors import DeviceError
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.edx import EdxEvents
from cryoctl_drivers.amptek.unit import FULL_CHANNEL, Counts, Reading

SHORTEST_FRAME_S = 0.02
"""The unit's clocks tick in ms."""
_TICK_S = 2e-3
_CLOCK_REL = 1e-3
_OPEN_REL = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Of one pixel: counts by channel, and how far the unit's clocks and counters went meanwhile."""

    counts: Counts
    fast: int
    slow: int
    accumulation_s: float
    real_s: float


def between(owner: str, former: Reading, latter: Reading) -> Counted:
    """What came between two readings of one spectrum that was not cleared.

    Raises:
        DeviceError: less than before, or a channel is full.
    """
    counts = latter.counts - former.counts
    then, now = former.status, latter.status
    fast, slow = now.fast_count - then.fast_count, now.slow_count - then.slow_count
    if counts.min() < 0 or fast < 0 or slow < 0:
        raise DeviceError(f"{owner}: counts became fewer: the unit was cleared or restarted meanwhile; expose again")
    if latter.counts.max() >= FULL_CHANNEL:
        raise DeviceError(f"{owner}: a channel is full at {FULL_CHANNEL} counts; use less dose or more channels")
    return Counted(counts, fast, slow, now.accumulation_s - then.accumulation_s, now.real_s - then.real_s)


def check_whole(owner: str, pixels: Sequence[Counted], scan: Scan, window_s: float) -> None:
    """The unit counted during the whole scan frame, pixel by pixel, and no longer than it was let.

    Raises:
        DeviceError: it did not, by its clock or ours.
    """
    shortest_s = min(pixel.real_s for pixel in pixels)
    if shortest_s < scan.dwell_s * (1 - _CLOCK_REL) - _TICK_S:
        raise DeviceError(
            f"{owner}: it counted for {shortest_s:.3f} s where the beam dwells for {scan.dwell_s:.3f} s: "
            "the scan frame never came, or the unit was stopped"
        )
    real_s = sum(pixel.real_s for pixel in pixels)
    if real_s > window_s * (1 + _CLOCK_REL) + _TICK_S * len(pixels):
        raise DeviceError(
            f"{owner}: it says {real_s:.3f} s of counting and was let for {window_s:.3f} s: not this spectrum"
        )


def frame_events(owner: str, pixels: Sequence[Counted], dwell_s: float, gated: bool) -> EdxEvents:
    """Events in pixel order.

    Real time is the scan's own, or for one pixel with a gate wire what the unit counted. Live is the share of fast
    counts that became slow ones, as the maker defines dead time. The fast channel sees no X-rays below its threshold
    (the light elements): the input rate is never told below what was counted, nor live beyond real time.

    Raises:
        DeviceError: the gate was open for another time than the scan takes.
    """
    frame_s = len(pixels) * dwell_s
    real_s = frame_s
    if gated:
        open_s = sum(pixel.accumulation_s for pixel in pixels)
        if abs(open_s - frame_s) > _OPEN_REL * frame_s + _TICK_S * len(pixels):
            raise DeviceError(
                f"{owner}: its gate was open for {open_s:.3f} s and the scan frame takes {frame_s:.3f} s; "
                "look at the gate's wire and polarity"
            )
        real_s = open_s if len(pixels) == 1 else frame_s  # many roundings to ms say less than the scan
    fast, slow = sum(pixel.fast for pixel in pixels), sum(pixel.slow for pixel in pixels)
    share = min(1.0, slow / fast) if fast else 1.0
    per_pixel = [int(pixel.counts.sum()) for pixel in pixels]
    channels = np.arange(len(pixels[0].counts), dtype=np.uint16)
    return EdxEvents(
        pixel=np.repeat(np.arange(len(pixels), dtype=np.uint32), per_pixel),
        channel=np.concatenate([np.repeat(channels, pixel.counts) for pixel in pixels]),
        live_time_s=real_s * share,
        real_time_s=real_s,
        input_rate_per_s=max(fast, slow) / real_s,
    )
