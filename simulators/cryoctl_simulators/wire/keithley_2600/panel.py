"""Attributes of an emulated 2600: what each takes, and what it has when the instrument was switched on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Take = Callable[[Any], Any]
BAD_TYPE = (-104, "Data type error")
TOO_SMALL, TOO_BIG = (1101, "Parameter too small"), (1102, "Parameter too big")
NOT_NOW, NO_INTERLOCK = (
    (5043, "Cannot perform requested action while overlapped operation is in progress"),
    (
        802,
        "OUTPUT blocked by interlock",
    ),
)
NOT_EMPTY = (5052, "Cannot change the setting unless the buffer is empty")
TEXTS = dict((BAD_TYPE, TOO_SMALL, TOO_BIG, NOT_NOW, NO_INTERLOCK, NOT_EMPTY))
READ_ONLY: tuple[Any, None] = (None, None)


class Refusal(Exception):
    def __init__(self, code: tuple[int, str]) -> None:
        super().__init__(code[1])
        self.code = code


@dataclass(frozen=True, slots=True)
class Family:
    """What a 260x, 261x or 263x can do."""

    most_v: float
    most_a: float
    least_v: float
    least_a: float
    has_interlock: bool
    limit_a: float
    """When it was switched on."""
    limit_v: float


def family_of(model: str) -> Family:
    if model.startswith("260"):
        return Family(40.0, 3.0, 0.01, 1e-8, False, 1.0, 40.0)
    least_a = {"2635B": 1e-10, "2636B": 1e-10, "2634B": 1e-9}.get(model, 1e-8)
    return Family(200.0, 1.5, 0.02, least_a, True, 0.1, 20.0)


def between(low: float, high: float) -> Take:
    def take(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refusal(BAD_TYPE)
        if not low <= value <= high:
            raise Refusal(TOO_SMALL if value < low else TOO_BIG)
        return float(value)

    return take


def whole(low: int, high: int) -> Take:
    number = between(low, high)
    return lambda value: int(number(value))


_switch = whole(0, 1)
_any = between(-1e300, 1e300)


def channel_table(model: str) -> dict[str, tuple[Any, Take | None]]:
    """Of one channel, without its name."""
    one = family_of(model)
    volts, amperes = between(-1.01 * one.most_v, 1.01 * one.most_v), between(-1.01 * one.most_a, 1.01 * one.most_a)
    return {
        "sense": (0, whole(0, 3)),
        "source.func": (1, _switch),
        "source.output": (0, _switch),
        "source.offmode": (0, whole(0, 2)),
        "source.offfunc": (1, _switch),
        "source.offlimiti": (1e-3, between(one.least_a, one.most_a)),
        "source.offlimitv": (40.0, between(one.least_v, one.most_v)),
        "source.outputenableaction": (0, _switch),
        "source.levelv": (0.0, volts),
        "source.leveli": (0.0, amperes),
        "source.limitv": (one.limit_v, between(one.least_v, one.most_v)),
        "source.limiti": (one.limit_a, between(one.least_a, one.most_a)),
        "source.limitp": (0.0, between(0.0, 1e3)),
        "source.rangev": (one.limit_v, volts),
        "source.rangei": (one.limit_a, amperes),
        "source.autorangev": (1, _switch),
        "source.autorangei": (1, _switch),
        "source.lowrangev": (0.1, volts),
        "source.lowrangei": (1e-7, amperes),
        "source.delay": (0.0, between(-1.0, 1e4)),
        "source.settling": (0, whole(0, 129)),
        "source.highc": (0, _switch),
        "source.sink": (0, _switch),
        "source.compliance": READ_ONLY,
        "measure.nplc": (1.0, between(0.001, 25.0)),
        "measure.count": (1, whole(1, 60_000)),
        "measure.interval": (0.0, between(0.0, 1.0)),
        "measure.delay": (0.0, between(-1.0, 1e4)),
        "measure.delayfactor": (1.0, between(0.0, 1e3)),
        "measure.autozero": (2, whole(0, 2)),
        "measure.autorangei": (1, _switch),
        "measure.autorangev": (1, _switch),
        "measure.rangei": (one.limit_a, amperes),
        "measure.rangev": (one.limit_v, volts),
        "measure.lowrangei": (one.least_a, amperes),
        "measure.lowrangev": (one.least_v, volts),
        "measure.filter.enable": (0, _switch),
        "measure.filter.count": (1, whole(1, 100)),
        "measure.filter.type": (1, whole(0, 2)),
        "measure.rel.enablei": (0, _switch),
        "measure.rel.enablev": (0, _switch),
        "measure.rel.leveli": (0.0, _any),
        "measure.rel.levelv": (0.0, _any),
        "trigger.count": (1, whole(1, 60_000)),
        "trigger.arm.count": (1, whole(0, 60_000)),
        "trigger.arm.stimulus": (0, _any),
        "trigger.source.action": (0, _switch),
        "trigger.source.stimulus": (0, _any),
        "trigger.source.limiti": (one.limit_a, between(0.0, one.most_a)),
        "trigger.source.limitv": (one.limit_v, between(0.0, one.most_v)),
        "trigger.measure.action": (0, whole(0, 2)),
        "trigger.measure.stimulus": (0, _any),
        "trigger.endpulse.action": (1, _switch),
        "trigger.endpulse.stimulus": (0, _any),
        "trigger.endsweep.action": (0, _switch),
    }


COMMON: dict[str, tuple[Any, Take | None]] = {
    "localnode.prompts": (0, _switch),
    "localnode.prompts4882": (1, _switch),
    "localnode.showerrors": (0, _switch),
    "localnode.autolinefreq": (True, None),
    "localnode.linefreq": READ_ONLY,
    "localnode.model": READ_ONLY,
    "localnode.serialno": READ_ONLY,
    "localnode.revision": READ_ONLY,
    "localnode.description": READ_ONLY,
    "format.data": (1, whole(1, 3)),
    "format.asciiprecision": (6, whole(1, 16)),
    "format.byteorder": (1, _switch),
    "errorqueue.count": READ_ONLY,
    "status.condition": READ_ONLY,
    "status.standard.event": READ_ONLY,
    "status.operation.sweeping.condition": READ_ONLY,
    "status.standard.enable": (0, _any),
    "status.request_enable": (0, _any),
    "display.screen": (2, whole(0, 3)),
    "beeper.enable": (1, _switch),
    "trigger.blender.orenable": (False, lambda value: value),
    "trigger.timer.delay": (1e-5, between(8e-6, 1e5)),
    "trigger.timer.count": (1, whole(0, 1_048_575)),
    "trigger.timer.passthrough": (False, lambda value: value),
    "trigger.timer.stimulus": (0, _any),
}
