"""Everything cryoctl raises on purpose, one tree.

    CryoctlError
    ├── BadInput                 a person can mend it: exit 2, nothing was written
    │   ├── RecipeError          a recipe field
    │   ├── InstrumentError      an instrument file, or a device that it names
    │   ├── CalibrationError     a calibration is missing or has expired
    │   └── FileProblem          a file is absent, unreadable, truncated, of another kind or a newer format
    ├── Refused                  a step was not begun: exit 4, the specimen is as it was
    │   ├── DoseRefused          the next exposure would pass the dose limit
    │   └── InterlockRefused     an interlock forbids the step
    ├── StepLost                 a step was begun and could not be done (a target not found, drift too large)
    ├── Interrupted              a run was taken up again, and something of its world could not be driven back
    ├── DeviceError              the instrument misbehaved: safe state, exit 5
    │   ├── OutOfRange           a set point beyond what the device allows; use BadInput where it is known beforehand
    │   ├── NotReached           a move ended elsewhere than it was sent
    │   ├── ReadBackMismatch     the device says something else than it was told
    │   ├── DeviceTimeout        no answer within the deadline
    │   │   └── NoAnswer         to anything at all, as far as one can tell: its link may be lost
    │   └── ConnectionLost       the link is gone; DeviceTimeout if it may still be there
    ├── SafeStateUnconfirmed     blanking or rest could not be read back: exit 6
    └── RunFileError             the run file or its journal contradicts itself; FileProblem if it can't be read at all

`OperatorStop` is a `BaseException`, so that ``except Exception`` in a driver or a protocol can't eat it.
Messages are one sentence of at most 300 characters: field or device, what was found, what is allowed, what to do.
"""

from __future__ import annotations


class CryoctlError(Exception):
    """Root of the tree; `exit_code` is what the command line returns for it."""

    exit_code = 5

    @property
    def message(self) -> str:
        """The sentence for the operator, without a line break, at most 300 characters."""
        text = " ".join(str(self).split())
        return text if len(text) <= 300 else text[:299] + "…"


class BadInput(CryoctlError):
    exit_code = 2


class RecipeError(BadInput):
    pass


class InstrumentError(BadInput):
    pass


class CalibrationError(BadInput):
    pass


class FileProblem(BadInput):
    pass


class Refused(CryoctlError):
    exit_code = 4


class DoseRefused(Refused):
    pass


class InterlockRefused(Refused):
    pass


class StepLost(CryoctlError):
    exit_code = 4


class Interrupted(CryoctlError):
    """Thrown where a resumed run goes on; `lost` names what can't be driven back (a contact, a milled shape)."""

    exit_code = 4

    def __init__(self, message: str, lost: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lost = lost


class DeviceError(CryoctlError):
    exit_code = 5


class OutOfRange(DeviceError):
    pass


class NotReached(DeviceError):
    pass


class ReadBackMismatch(DeviceError):
    pass


class DeviceTimeout(DeviceError):
    pass


class NoAnswer(DeviceTimeout):
    pass


class ConnectionLost(DeviceError):
    pass


class SafeStateUnconfirmed(CryoctlError):
    exit_code = 6


class RunFileError(CryoctlError):
    exit_code = 1


class OperatorStop(BaseException):
    """The operator (or a signal) ended it before anything was moved or exposed, in one sentence: exit 3."""

    exit_code = 3
