"""The 64 bytes in which a DP5 tells how it is; numbers least significant byte first but for the voltages."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryoctl_drivers.amptek.packets import Malformed

STATUS_BYTES = 64
MODELS = {0: "DP5", 1: "PX5", 2: "DP5G", 4: "TB5", 5: "DP5-X"}
"""Pulse processors; 3 is the MCA8000D, which has none and tells its times otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`accumulation_s` stands still while gated, during reset lock-out and transfers, `real_s` while disabled.

    `just_started` is told once after each start. `next_buffer` is where the next pulse of the pixel clock stores.
    """

    fast_count: int
    slow_count: int
    pulse_count: int
    accumulation_s: float
    real_s: float
    firmware: str
    serial: int
    detector_k: float
    enabled: bool
    just_started: bool
    buffering: bool
    next_buffer: int
    model: int


def read_status(raw: bytes) -> Status:
    """
    Raises:
        Malformed: another length, or a byte beyond its range.
    """
    if len(raw) != STATUS_BYTES:
        raise Malformed(f"a status of {len(raw)} bytes")
    if raw[12] > 99:
        raise Malformed(f"{raw[12]} ms beyond full tenths of a second")
    fast, slow, pulses = struct.unpack_from("<III", raw, 0)
    (real_ms,) = struct.unpack_from("<I", raw, 20)
    (serial,) = struct.unpack_from("<I", raw, 26)
    return Status(
        fast_count=fast,
        slow_count=slow,
        pulse_count=pulses,
        accumulation_s=(raw[12] + 100 * int.from_bytes(raw[13:16], "little")) / 1e3,
        real_s=real_ms / 1e3,
        firmware=f"{raw[24] >> 4}.{raw[24] & 15:02d}.{raw[37] & 15:02d}",
        serial=serial,
        detector_k=((raw[32] & 15) << 8 | raw[33]) / 10,
        enabled=bool(raw[35] & 0x20),
        just_started=bool(raw[36] & 0x20),
        buffering=bool(raw[46] & 0x02),
        next_buffer=(raw[46] & 1) << 8 | raw[47],
        model=raw[39],
    )
