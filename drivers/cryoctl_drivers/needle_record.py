"""What a needle drive's driver has to remember beyond its process, in a small file: the drive itself counts nothing.

Written before a motion begins and durable when that begins, so that whatever ends the process the steps that it had
sent are counted: perhaps some too many, never too few.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from cryoctl.errors import ConnectionLost, FileProblem, InstrumentError
from cryoctl.interfaces.needle import NeedleHold

Three = tuple[float, float, float]
Steps = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """`unsure` are those of `steps` that were sent and may not have been made, or may have been made beyond what was
    sent (x, y, z, absolute). `parked`: it was made safe and nothing moved since."""

    serial: str
    steps: Steps = (0, 0, 0)
    unsure: Steps = (0, 0, 0)
    fine_m: Three = (0.0, 0.0, 0.0)
    hold: str = NeedleHold.FREE.value
    parked: bool = True

    @classmethod
    def read(cls, plain: Any) -> Remembered:
        """
        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        if set(plain) != {field.name for field in fields(cls)}:
            raise ValueError("other fields")
        x_m, y_m, z_m = (float(one) for one in plain["fine_m"])
        return cls(
            serial=str(plain["serial"]),
            steps=_whole(plain["steps"]),
            unsure=_whole(plain["unsure"]),
            fine_m=(x_m, y_m, z_m),
            hold=NeedleHold(plain["hold"]).value,
            parked=bool(plain["parked"]),
        )


class NeedleRecord:
    """
    Args:
        owner: name of the device, with which every message begins.
        path: of the file; None stands for one of this device's own beside the user's data.
    """

    def __init__(self, owner: str, path: str | None) -> None:
        self._owner = owner
        self._path = Path(path).expanduser() if path else _beside_the_users_data() / f"needle-{owner}.json"
        self._now: Remembered | None = None
        self._one = threading.Lock()

    @property
    def now(self) -> Remembered:
        """
        Raises:
            ConnectionLost: never connected, so that nobody knows of which drive it is.
        """
        if self._now is None:
            raise ConnectionLost(f"{self._owner}: not connected; call connect first")
        return self._now

    def of(self, serial: str) -> None:
        """Read what there is of this controller, once; nothing yet where there is no file.

        Raises:
            FileProblem: it can't be read, or is no such file.
            InstrumentError: it is of another controller.
        """
        found = self._now or self._read() or Remembered(serial=serial)
        if found.serial != serial:
            raise InstrumentError(
                f"{self._owner}: the controller is {serial[:40]}, settings.state_file {self._path} is of "
                f"{found.serial[:40]}; connect that one, or move the file away and see what the needle holds"
            )
        self._now = found

    async def keep(self, **changes: Any) -> None:
        """Durable when this returns.

        Raises:
            FileProblem: it can't be written.
        """
        self._now = replace(self.now, **changes)
        await asyncio.get_running_loop().run_in_executor(None, self._write)

    async def count(self, axis: int, steps: int, unsure: int) -> None:
        """More steps sent along an axis (signed), and how many of them nobody is sure of."""
        now = self.now
        await self.keep(steps=_more(now.steps, axis, steps), unsure=_more(now.unsure, axis, unsure), parked=False)

    def sure_of(self, axis: int, steps: int) -> None:
        """That many were certainly made; it becomes durable with what is kept next."""
        self._now = replace(self.now, unsure=_more(self.now.unsure, axis, -steps))

    def _read(self) -> Remembered | None:
        try:
            return Remembered.read(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileProblem(
                f"{self._owner}: {self._path} can't be read ({error.strerror}); mend that first"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileProblem(
                f"{self._owner}: settings.state_file {self._path} is no record of a needle; move it away and see what "
                "the needle holds, then connect again"
            ) from error

    def _write(self) -> None:
        """By another name first: the file is whole at any time."""
        with self._one:
            beside = self._path.with_name(self._path.name + ".new")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with beside.open("w", encoding="utf-8") as file:
                    json.dump(asdict(self.now), file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(beside, self._path)
                _sync_folder(self._path.parent)
            except OSError as error:
                raise FileProblem(
                    f"{self._owner}: settings.state_file {self._path} can't be written ({error.strerror}); nothing "
                    "moves without it, give another place"
                ) from error


def _sync_folder(folder: Path) -> None:
    """The new name too; Windows has no such call, there the rename itself is in its file system's journal."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _beside_the_users_data() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "cryoctl"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "cryoctl"


def _whole(values: Any) -> Steps:
    x, y, z = (int(one) for one in values)
    return (x, y, z)


def _more(before: Steps, axis: int, by: int) -> Steps:
    x, y, z = (value + (by if index == axis else 0) for index, value in enumerate(before))
    return (x, y, z)
