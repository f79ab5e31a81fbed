"""Steps of a device of recorded data: answered as they were, refused as they were."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cryoctl.errors import InterlockRefused
from cryoctl.interfaces.recording import RecordedDevice
from cryoctl.steps import ComputeTrace, Step
from cryoctl.steps.codec import decode, encode

_REFUSED = re.compile(r"interlock ([\w-]+): (.*)", re.DOTALL)


async def as_recorded(device: RecordedDevice, step: Step[Any], refuse: Callable[[str, str], InterlockRefused]) -> Any:
    """The recorded result of the next step of this kind.

    Raises:
        DeviceError: another one was recorded, or none.
        InterlockRefused, StepLost: so it ended; a refusal is told anew.
    """
    kind, asked = fields_of(step)
    if isinstance(step, ComputeTrace):
        asked = {"function": step.function}  # its times were those of that run
    try:
        return decode(await device.answer(kind, asked))
    except InterlockRefused as error:
        told = _REFUSED.fullmatch(error.message)
        raise refuse(told[1], told[2]) if told else error from error


def fields_of(step: Step[Any]) -> tuple[str, dict[str, Any]]:
    """Kind and fields of a step as the journal has them."""
    asked = encode(step)
    assert asked is not None
    return asked.pop("is"), asked
