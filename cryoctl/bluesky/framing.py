"""What one exposure covers, as a person sets it on a detector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from cryoctl.bluesky.given import is_number, is_whole, shown
from cryoctl.errors import BadInput
from cryoctl.steps import Expose

KINDS = ("record", "search", "view", "focus", "track")


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """`shape` is (rows across the tilt axis, columns along it); shifts are image shifts, beam-normal.

    Whatever it is called, `kind` says how the exposure is counted and where its picture is kept: that of a `record` in
    /image, with the EDX of the same frame.
    """

    shape: tuple[int, int] = (96, 128)
    pixel_size_m: float = 10e-9
    dwell_s: float = 1e-6
    scans: int = 1
    shift_x_m: float = 0.0
    shift_y_m: float = 0.0
    defocus_m: float = 0.0
    dynamic_focus: bool = False
    register: bool = False
    kind: str = "record"

    def changed(self, values: dict[str, Any]) -> Framing:
        """Raises `BadInput` for a name or a kind that there is not, and for what is no value of its field."""
        known = asdict(self)
        for name in values:
            if name not in known:
                raise BadInput(f"framing: found {name[:40]!r}; it has {', '.join(known)}")
        return replace(self, **{name: _value(name, value, known[name]) for name, value in values.items()})

    def exposure(self, *, detector: str, edx: bool) -> Expose:
        """The step; where it lies in the specimen's frame the protocol fills in, from where the stage stands."""
        return Expose(
            kind=self.kind,
            area="on request",
            target="",
            x_m=0.0,
            y_m=0.0,
            shift_x_m=float(self.shift_x_m),
            shift_y_m=float(self.shift_y_m),
            defocus_m=float(self.defocus_m),
            shape=self.shape,
            pixel_size_m=float(self.pixel_size_m),
            dwell_s=float(self.dwell_s),
            scans=int(self.scans),
            dynamic_focus=bool(self.dynamic_focus),
            detector=detector,
            edx=edx,
            register=bool(self.register),
            position_sigma_m=0.0,
            drift_bound_m_per_s=0.0,
        )


def _value(name: str, given: Any, like: Any) -> Any:
    """As a plain value of the field that is `like` this one; nothing is guessed."""
    if name == "kind":
        if given in KINDS:
            return given
        raise BadInput(f"framing.kind: found {shown(given)}; allowed are {', '.join(KINDS)}")
    if isinstance(like, tuple):
        numbers = list(cast(Iterable[Any], given)) if isinstance(given, Iterable) else []
        if len(numbers) == 2 and all(is_whole(one) for one in numbers):
            return (int(numbers[0]), int(numbers[1]))
        wanted = "two whole numbers, rows and columns"
    elif isinstance(like, bool):
        if isinstance(given, bool):
            return given
        wanted = "True or False"
    else:
        whole = isinstance(like, int)
        if is_whole(given) if whole else is_number(given):
            return int(given) if whole else float(given)
        wanted = "a whole number" if whole else f"a number in {'s' if name == 'dwell_s' else 'm'}, without unit"
    raise BadInput(f"framing.{name}: found {shown(given)}; allowed is {wanted}")
