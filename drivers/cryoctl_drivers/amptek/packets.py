"""Packets of the DP5 protocol: two sync bytes, two bytes of identity, length, data, checksum.

The checksum is the two's complement of the 16-bit sum of all bytes before it, so it does not see an exchange of bytes.
An acknowledgement does not say what it acknowledges.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SYNC = b"\xf5\xfa"
FRAME_BYTES = 8
"""Header and checksum."""
LONGEST_REQUEST_BYTES = 512
"""Data of a request."""
LONGEST_DATA_BYTES = 3 * 8192 + 64
"""Data of a response: 8192 channels and a status."""

Identity = tuple[int, int]

STATUS: Identity = (0x01, 0x01)
SPECTRUM_AND_STATUS: Identity = (0x02, 0x03)
BUFFER: Identity = (0x02, 0x07)
CONFIGURE: Identity = (0x20, 0x04)
"""Without saving to the flash memory, which wears."""
READ_CONFIGURATION: Identity = (0x20, 0x03)
CLEAR: Identity = (0xF0, 0x01)
ENABLE: Identity = (0xF0, 0x02)
DISABLE: Identity = (0xF0, 0x03)
CLEAR_COUNTER: Identity = (0xF0, 0x10)
RESTART_BUFFERING: Identity = (0xF0, 0x1E)
CANCEL_BUFFERING: Identity = (0xF0, 0x1F)

IS_STATUS: Identity = (0x80, 0x01)
IS_CONFIGURATION: Identity = (0x82, 0x07)
ACKNOWLEDGEMENT = 0xFF
IS_DONE = frozenset(((ACKNOWLEDGEMENT, 0x00), (ACKNOWLEDGEMENT, 0x0C)))
"""OK, and OK while another interface asks for its turn."""
BUSY: Identity = (ACKNOWLEDGEMENT, 0x0D)
GARBLED = frozenset((ACKNOWLEDGEMENT, code) for code in (0x01, 0x02, 0x03, 0x04))
"""Sync, identity, length or checksum of the request did not arrive as they were sent."""
REFUSALS = {
    0x02: "does not know the request",
    0x05: "refuses the parameter",
    0x07: "does not know the command",
    0x08: "could not start its FPGA",
    0x0B: "has no power supply board (PC5) for the command",
    0x0D: "is in use by another interface",
    0x10: "can't do that with its FPGA; bring it up to date",
}


@dataclass(frozen=True, slots=True)
class Packet:
    identity: Identity
    data: bytes = b""

    def encode(self) -> bytes:
        head = SYNC + bytes(self.identity) + struct.pack(">H", len(self.data)) + self.data
        return head + struct.pack(">H", checksum(head))


class Malformed(Exception):
    """Bytes that are no packet; the argument says what was found."""


def checksum(head: bytes) -> int:
    return -sum(head) & 0xFFFF


def whole_bytes(start: bytes) -> int:
    """How long the packet is that begins so.

    Raises:
        Malformed: no packet begins so.
    """
    if len(start) < FRAME_BYTES or start[:2] != SYNC:
        raise Malformed(f"{len(start)} bytes that begin no packet")
    length = int.from_bytes(start[4:6], "big")
    if length > LONGEST_DATA_BYTES:
        raise Malformed(f"a packet with {length} bytes of data")
    return FRAME_BYTES + length


def decode(raw: bytes) -> Packet:
    """
    Raises:
        Malformed: too short, too long, or the checksum differs.
    """
    if whole_bytes(raw) != len(raw):
        raise Malformed(f"{len(raw)} bytes for a packet of {whole_bytes(raw)}")
    if int.from_bytes(raw[-2:], "big") != checksum(raw[:-2]):
        raise Malformed("a packet with a wrong checksum")
    return Packet((raw[2], raw[3]), raw[6:-2])


def is_spectrum(channels: int) -> Identity:
    """What a spectrum with its status is called; the bytes of each are 3 a channel, then 64."""
    return (0x81, 2 * (channels.bit_length() - 8))
