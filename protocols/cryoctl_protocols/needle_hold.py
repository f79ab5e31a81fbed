"""A needle in contact is held where it is on the specimen, against its drift and the creep of its tube."""

from __future__ import annotations

from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_drive import NeedleDrive

_SHARE = 0.9
"""Of a way that the apex went, which is taken back at once."""
_LEARNED = 0.8
"""Of what the drift is seen to be otherwise than it was made up for."""
_MOST_M = 10e-9
"""That the tube goes at once: what looks like more is hardly drift."""
MOST_M_PER_S = 3e-9


class NeedleHold:
    """Looks at the way of the apex in the picture from time to time; the height goes on by what was learned of it."""

    def __init__(self, drive: NeedleDrive) -> None:
        self._drive = drive
        self._before: tuple[float, tuple[float, float]] | None = None

    def keep(self, went_m: tuple[float, float], sigma_m: float) -> Block[None]:
        """The tube takes back where the apex (y, x) went since the first picture; noise is left."""
        drive = self._drive
        seen = (drive.onward(went_m), drive.across(went_m))
        rates = list(drive.drift_m_per_s[:2])
        if self._before is not None and drive.now_s > self._before[0]:
            since_s = drive.now_s - self._before[0]
            for axis in (0, 1):
                more = _LEARNED * (seen[axis] - self._before[1][axis]) / since_s
                rates[axis] = max(-MOST_M_PER_S, min(MOST_M_PER_S, rates[axis] + more))
        back_m = [-_taken_back(one, 2 * sigma_m) for one in seen]
        self._before = (drive.now_s, (seen[0] + back_m[0], seen[1] + back_m[1]))
        yield from drive.move_tube(onward_m=back_m[0], aside_m=back_m[1])
        drive.make_up_for(onward=rates[0], aside=rates[1], up=drive.drift_m_per_s[2])


def _taken_back(went_m: float, least_m: float) -> float:
    return 0.0 if abs(went_m) < least_m else max(-_MOST_M, min(_MOST_M, _SHARE * went_m))
