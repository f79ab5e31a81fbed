"""What is used of the package `fibsem`, imported when a device is first connected."""

from __future__ import annotations

import io
import logging
import sys
import threading
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from cryoctl.errors import InstrumentError
from cryoctl.interfaces.context import DeviceContext
from cryoctl_drivers.fibsem.settings import DEMO, MicroscopeSettings


class Library:
    """One for all devices of an instrument. Its methods are called in the connections' threads."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._package: Any = None
        self._demo: Any = None

    @classmethod
    def of(cls, context: DeviceContext) -> Library:
        found = context.shared.get("fibsem")
        if found is None:
            found = context.shared["fibsem"] = cls()
        return found

    def microscope(self, owner: str, settings: MicroscopeSettings) -> Any:
        """A connection to a microscope of its own; there is but one demo microscope, which all share.

        Raises:
            InstrumentError: the package, the maker's own one, or the configuration is not there.
        """
        with self._one_at_a_time:
            self._import(owner)
            if settings.manufacturer != DEMO:
                return self._connected(owner, settings)
            if self._demo is None:
                self._demo = self._connected(owner, settings)
            return self._demo

    @property
    def version(self) -> str:
        from importlib.metadata import version

        return version("fibsem")

    @property
    def electrons(self) -> Any:
        return self._package.BeamType.ELECTRON

    @property
    def ions(self) -> Any:
        return self._package.BeamType.ION

    def point(self, x: float, y: float) -> Any:
        return self._package.Point(x, y)

    def stage_position(self, **axes: float) -> Any:
        """Axes x, y, z (m), t (rad); those that are not named stay."""
        return self._package.FibsemStagePosition(**axes, coordinate_system="RAW")

    def picture(self, shape: tuple[int, int], field_m: float, dwell_s: float) -> Any:
        """Of the electron column; no automatic contrast, which would scan besides."""
        rows, columns = shape
        return self._package.ImageSettings(
            resolution=(columns, rows),
            dwell_time=dwell_s,
            hfw=field_m,
            beam_type=self.electrons,
            autocontrast=False,
            save=False,
        )

    def _import(self, owner: str) -> None:
        if self._package is not None:
            return
        logging.getLogger().addFilter(_no_chatter)
        try:
            with redirect_stdout(_Hushed(sys.stdout)):
                import fibsem.structures
        except ImportError as error:
            raise InstrumentError(
                f"{owner}: this driver needs the package fibsem; install the extra: pip install 'cryoctl[fibsem]'"
            ) from error
        self._package = fibsem.structures

    def _connected(self, owner: str, settings: MicroscopeSettings) -> Any:
        from fibsem import utils

        try:
            told = utils.load_microscope_configuration(Path(settings.configuration) if settings.configuration else None)
        except Exception as error:
            raise InstrumentError(
                f"{owner}: settings.configuration: fibsem can't read {settings.configuration[:120]!r} "
                f"({type(error).__name__}); give one of its configuration files"
            ) from error
        system = told.system
        system.info.manufacturer, system.info.ip_address = settings.manufacturer, settings.host
        microscope = _made(owner, settings.manufacturer, system)
        microscope.connect_to_microscope(settings.host or "localhost", settings.port, reset_beam_shift=False)
        return microscope


def _made(owner: str, manufacturer: str, system: Any) -> Any:
    if manufacturer == DEMO:
        from fibsem.microscopes.simulator import DemoMicroscope

        return DemoMicroscope(system)
    from fibsem import microscope

    if not microscope.THERMO_API_AVAILABLE:
        raise InstrumentError(
            f"{owner}: AutoScript, which Thermo Fisher installs with its licence, is not in this Python; install its "
            "client beside fibsem"
        )
    return microscope.ThermoMicroscope(system)


def told(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


class _Hushed(io.TextIOBase):
    """fibsem greets on stdout, which belongs to results: what this thread writes is dropped, others' goes through."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)


def _no_chatter(record: logging.LogRecord) -> bool:
    """fibsem logs by the root logger; less than an error is nothing that an operator could use."""
    return record.levelno >= logging.ERROR or "fibsem" not in Path(record.pathname).parts
