"""How a run may end with what was done to it: end reasons that each fault and each command allow (contract.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

EXIT_CODES: Mapping[str, int] = {
    "completed": 0,
    "condition": 0,
    "time": 0,
    "dose": 4,
    "interlock": 4,
    "target-lost": 4,
    "no-contact": 4,
    "bond-failed": 4,
    "operator": 3,
    "device": 5,
    "safe-state-unconfirmed": 6,
}
UNDISTURBED = frozenset({"completed", "condition", "time", "dose", "no-contact"})
"""Without faults and commands; in the small pictures of a campaign a needle's contact is not always seen."""
_DISTURBED = frozenset({"device", "interlock", "target-lost"})
"""Of a fault that is not named below."""
_UNCONFIRMED = frozenset({"safe-state-unconfirmed"})
_FAULTS: Mapping[tuple[str, str], frozenset[str]] = {
    ("stage", "not-at-angle"): frozenset({"device", "target-lost"}),
    ("stage", "stall"): frozenset({"device", "target-lost"}),
    ("stage", "touch-alarm"): frozenset({"device", "interlock"}),
    ("beam", "blank-not-acknowledged"): frozenset({"device"}),
    ("beam", "reads-open"): _DISTURBED | _UNCONFIRMED,
    ("beam", "lost-link"): _DISTURBED | _UNCONFIRMED,
    ("beam", "no-answer"): _DISTURBED | _UNCONFIRMED,
    ("beam", "valve-stuck"): _DISTURBED | _UNCONFIRMED,
    ("edx", "drop-out"): frozenset({"target-lost"}),
    ("edx", "saturation"): frozenset({"target-lost"}),
    ("holder", "temperature-high"): frozenset({"interlock", "target-lost"}),
    ("holder", "sensor-invalid"): frozenset({"interlock", "target-lost"}),
    ("holder", "nitrogen-low"): frozenset({"interlock", "target-lost"}),
    ("holder", "refill-shakes"): frozenset({"target-lost", "interlock"}),
    ("bias", "lost-link"): _DISTURBED | _UNCONFIRMED,
    ("bias", "no-answer"): _DISTURBED | _UNCONFIRMED,
    ("bias", "output-stuck"): _DISTURBED | _UNCONFIRMED,
    ("bias", "cut-off-fails"): _DISTURBED | _UNCONFIRMED,
    ("needle", "not-at-place"): frozenset({"device"}),
    ("needle", "voltage-refused"): frozenset({"device"}),
    ("needle", "voltage-trip"): frozenset({"device", "interlock"}),
    ("needle", "stuck"): frozenset({"target-lost", "interlock"}),
    ("needle", "runs-away"): frozenset({"device"}),
    ("needle", "creeps-away"): frozenset({"target-lost", "interlock"}),
    ("needle", "drifts"): frozenset({"target-lost", "interlock"}),
    ("needle", "jumps"): frozenset({"target-lost", "interlock"}),
    ("needle", "lost-link"): _DISTURBED | _UNCONFIRMED,
    ("needle", "no-answer"): _DISTURBED | _UNCONFIRMED,
    ("light", "refuses"): frozenset({"device"}),
    ("light", "stays-on"): frozenset({"device", "interlock"}),
    ("light", "level-differs"): frozenset({"device"}),
    ("light", "goes-out"): frozenset({"device", "interlock"}),
    ("process", "kill"): frozenset({"target-lost"}),
    ("process", "viewer-dies"): frozenset(),
    ("process", "reconstruction-dies"): frozenset(),
    ("clock", "step"): frozenset(),
}
_COMMANDS: Mapping[str, frozenset[str]] = {
    "abort": frozenset({"operator"}),
    "stop-after": frozenset({"operator"}),
    "skip": frozenset({"target-lost"}),
}
_HINDERS_BLANKING = frozenset(
    ("beam", name) for name in ("reads-open", "blank-not-acknowledged", "blank-late", "lost-link", "no-answer")
)
_PARTS_NEEDLE = frozenset(("needle", name) for name in ("creeps-away", "drifts", "voltage-trip"))
_PARTS_NEEDLE_BACKWARD: Mapping[tuple[str, str], str] = {
    ("needle", "jumps"): "toward_m",
    ("needle", "not-at-place"): "beyond_m",
}
"""Only where this parameter is below 0: away from the specimen."""


def allowed_endings(faults: Iterable[Mapping[str, Any]], commands: Iterable[str]) -> frozenset[str]:
    """End reasons that a run with these faults and commands may have."""
    found = set(UNDISTURBED)
    for one in faults:
        found |= _FAULTS.get((one["device"], one["fault"]), _DISTURBED)
    for command in commands:
        found |= _COMMANDS.get(command, frozenset())
    return frozenset(found)


def hinders_blanking(faults: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of them can keep the blanker open, so that only the column valve stops the beam."""
    return any((one["device"], one["fault"]) in _HINDERS_BLANKING for one in faults)


def parts_needle(faults: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of them can take the needle off what it touched."""
    for one in faults:
        kind = (one["device"], one["fault"])
        if kind in _PARTS_NEEDLE or one.get(_PARTS_NEEDLE_BACKWARD.get(kind, ""), 0.0) < 0.0:
            return True
    return False
