"""Where a run is, and why it ended: two enums, and the exit code that follows from them (contract.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RunStatus(StrEnum):
    IDLE = "idle"
    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    SECURING = "securing"
    COMPLETED = "completed"
    LIMITED = "limited"
    ABORTED = "aborted"
    FAULTED = "faulted"


class EndReason(StrEnum):
    COMPLETED = "completed"
    CONDITION = "condition"
    DOSE = "dose"
    TIME = "time"
    INTERLOCK = "interlock"
    TARGET_LOST = "target-lost"
    NO_CONTACT = "no-contact"
    BOND_FAILED = "bond-failed"
    OPERATOR = "operator"
    DEVICE = "device"
    UNCONFIRMED = "safe-state-unconfirmed"


_ENDINGS = {
    EndReason.COMPLETED: (RunStatus.COMPLETED, 0),
    EndReason.CONDITION: (RunStatus.COMPLETED, 0),
    EndReason.TIME: (RunStatus.COMPLETED, 0),
    EndReason.DOSE: (RunStatus.LIMITED, 4),
    EndReason.INTERLOCK: (RunStatus.LIMITED, 4),
    EndReason.TARGET_LOST: (RunStatus.LIMITED, 4),
    EndReason.NO_CONTACT: (RunStatus.LIMITED, 4),
    EndReason.BOND_FAILED: (RunStatus.LIMITED, 4),
    EndReason.OPERATOR: (RunStatus.ABORTED, 3),
    EndReason.DEVICE: (RunStatus.FAULTED, 5),
    EndReason.UNCONFIRMED: (RunStatus.FAULTED, 6),
}


@dataclass(frozen=True, slots=True)
class Ending:
    reason: EndReason
    message: str

    @property
    def status(self) -> RunStatus:
        return _ENDINGS[self.reason][0]

    @property
    def exit_code(self) -> int:
        return _ENDINGS[self.reason][1]
