"""Bytes of an emulated DP5, written without a look at the driver's."""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = b"\xf5\xfa"
OK, SYNC_ERROR, PID_ERROR, LENGTH_ERROR, CHECKSUM_ERROR, BAD_PARAMETER, UNKNOWN_COMMAND, BUSY = 0, 1, 2, 3, 4, 5, 7, 13


@dataclass(slots=True, kw_only=True)
class Condition:
    """What the status tells; times in ms."""

    fast: int = 0
    slow: int = 0
    pulses: int = 0
    accumulated_ms: int = 0
    real_ms: int = 0
    serial: int = 0
    model: int = 0
    detector_dk: int = 2200
    enabled: bool = False
    just_started: bool = False
    buffering: bool = False
    next_buffer: int = 0

    def encode(self) -> bytes:
        told = bytearray(64)
        struct.pack_into("<3I", told, 0, self.fast, self.slow, self.pulses)
        tenths, rest_ms = divmod(self.accumulated_ms, 100)
        told[12:16] = bytes([rest_ms]) + tenths.to_bytes(3, "little")
        struct.pack_into("<I", told, 20, self.real_ms)
        told[24], told[25], told[37] = 0x69, 0x6D, 0x02  # firmware 6.09.02, FPGA 6.13
        struct.pack_into("<I", told, 26, self.serial)
        struct.pack_into(">h", told, 30, -260)  # -130 V
        struct.pack_into(">H", told, 32, self.detector_dk)
        told[34] = 31
        told[35] = (0x20 if self.enabled else 0) | 0x08 | 0x02  # gate not stopping, configured
        told[36] = (0x20 if self.just_started else 0) | 0x02
        told[38], told[39] = 0xC0, self.model
        told[46] = (2 if self.buffering else 0) | self.next_buffer >> 8 & 1
        told[47] = self.next_buffer & 0xFF
        return bytes(told)


def sealed(pid1: int, pid2: int, data: bytes = b"") -> bytes:
    packet = HEADER + bytes((pid1, pid2)) + len(data).to_bytes(2, "big") + data
    return packet + ((0x10000 - sum(packet)) % 0x10000).to_bytes(2, "big")


def acknowledged(code: int, data: bytes = b"") -> bytes:
    return sealed(0xFF, code, data)


def opened(datagram: bytes) -> tuple[int, int, bytes] | bytes:
    """Identity and data of a request, or the acknowledgement that complains of it."""
    if datagram[:2] != HEADER or len(datagram) < 8:
        return acknowledged(SYNC_ERROR)
    if int.from_bytes(datagram[4:6], "big") != len(datagram) - 8:
        return acknowledged(LENGTH_ERROR)
    if sum(datagram[:-2]) + int.from_bytes(datagram[-2:], "big") & 0xFFFF:
        return acknowledged(CHECKSUM_ERROR)
    return datagram[2], datagram[3], datagram[6:-2]
