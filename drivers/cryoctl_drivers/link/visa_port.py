"""The same through PyVISA, for GPIB, USB and VXI-11; the extra `visa`."""

from __future__ import annotations

import contextlib
from typing import Any

from cryoctl.errors import ConnectionLost, InstrumentError
from cryoctl_drivers.link.port import SerialForm

_PARITIES = {"N": "none", "E": "even", "O": "odd"}


class VisaPort:
    def __init__(self, resource: str, form: SerialForm, owner: str) -> None:
        try:
            import pyvisa
        except ImportError:
            raise InstrumentError(f"{owner}: visa:{resource} needs PyVISA; pip install 'cryoctl[visa]'") from None
        self._owner = owner
        self._resource = resource
        self._error: type[Exception] = pyvisa.errors.VisaIOError
        self._timed_out: int = pyvisa.constants.StatusCode.error_timeout
        try:
            self._port: Any = pyvisa.ResourceManager().open_resource(
                resource, access_mode=pyvisa.constants.AccessModes.exclusive_lock
            )
        except (pyvisa.errors.Error, OSError, ValueError) as error:
            raise ConnectionLost(
                f"{owner}: VISA opens no {resource} ({str(error)[:120]}); check the resource"
            ) from error
        if resource.upper().startswith("ASRL"):
            self._port.baud_rate = form.baud
            self._port.data_bits = form.data_bits
            self._port.parity = getattr(pyvisa.constants.Parity, _PARITIES[form.parity])
            self._port.stop_bits = pyvisa.constants.StopBits(round(10 * form.stop_bits))

    def write(self, data: bytes) -> None:
        try:
            self._port.write_raw(data)
        except (self._error, OSError) as error:
            raise ConnectionLost(
                f"{self._owner}: the link over {self._resource} is lost ({str(error)[:120]})"
            ) from error

    def read(self, within_s: float) -> bytes:
        self._port.timeout = max(1.0, 1000 * within_s)
        try:
            return bytes(self._port.read_raw())
        except self._error as error:
            if getattr(error, "error_code", None) == self._timed_out:
                return b""
            raise ConnectionLost(
                f"{self._owner}: the link over {self._resource} is lost ({str(error)[:120]})"
            ) from error

    def _lost(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(f"{self._owner}: the link over {self._resource} is lost ({str(error)[:120]})")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._port.close()
