"""A vendor's EDX program as seen from outside: after each scan frame a spectrum image grows in its folder.

The files are Lispix `.rpl` with `.raw`, or NeXus. Written in pieces, the `.rpl` first, so that whoever reads too early
finds less than there will be.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cryoctl.units import Seconds
from cryoctl_simulators.settings import EdxSettings
from cryoctl_simulators.wire.emulator import EmulatorFactory
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.noise import generator


class SpectrumVendorSettings(EdxSettings):
    """The detector behind it, and how its program writes."""

    format: Literal["ripple", "nexus"] = "ripple"
    begins_s: Annotated[Seconds, Field(ge=0)] = 0.3
    """After the end of the scan frame."""
    pieces: Annotated[int, Field(ge=1, le=100)] = 3
    piece_s: Annotated[Seconds, Field(ge=0)] = 0.3


class SpectrumVendor:
    """`open` makes its folder, `close` removes it."""

    kind = "edx"
    has_own_clock = False

    def __init__(self, name: str, settings: SpectrumVendorSettings, world: World, wire: str = "") -> None:
        del wire
        self.name = name
        self.settings = settings
        self.world = world
        self.written = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._due: list[asyncio.TimerHandle] = []
        world.add(name, self.kind, settings, self)

    def open(self) -> Mapping[str, Any]:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="cryoctl-")
        pattern = "*.rpl" if self.settings.format == "ripple" else "*.nxs"
        return {"folder": self._folder.name, "pattern": pattern}

    def attach(self) -> None:
        self.world.open()
        self.open()

    def close(self) -> None:
        for due in self._due:
            due.cancel()
        folder, self._folder = self._folder, None
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.cleanup()

    def record_scan(self, frame: ScanFrame) -> None:
        """The world's beam finished a scan frame."""
        if self._folder is None or self.world.faults.find(self.name, "lost-link") is not None:
            return
        one = self.settings
        real_s = frame.shape[0] * frame.shape[1] * frame.dwell_s
        rng = generator(self.world.seed, self.name, frame.exposure, frame.index)
        taken = self.world.sample.x_rays(frame, one, real_s, rng)
        place = taken.pixel.astype(np.int64) * one.n_channels + taken.channel
        if self.world.faults.find(self.name, "drop-out") is not None:
            place = place[:0]
        counts = np.bincount(place, minlength=frame.shape[0] * frame.shape[1] * one.n_channels)
        cube = counts.reshape(*frame.shape, one.n_channels).astype("<u2")
        late = self.world.faults.take(self.name, "frame-late")
        begins_s = one.begins_s + (0.0 if late is None else late["late_s"])
        path = Path(self._folder.name) / f"map{self.written:04d}"
        self.written += 1
        if one.format == "nexus":
            self._later(begins_s, lambda: write_nexus(path.with_suffix(".nxs"), cube, one, taken.live_time_s))
            return
        self._later(begins_s, lambda: write_ripple_words(path.with_suffix(".rpl"), cube, one, taken.live_time_s))
        data = cube.tobytes()
        edges = np.linspace(0, len(data), one.pieces + 1).astype(int)
        for index in range(one.pieces):
            piece = data[edges[index] : edges[index + 1]]
            self._later(begins_s + index * one.piece_s, lambda piece=piece: _append(path.with_suffix(".raw"), piece))

    def _later(self, delay_s: float, act: Any) -> None:
        self._due.append(asyncio.get_running_loop().call_later(delay_s, act))


def write_ripple_words(path: Path, cube: npt.NDArray[Any], settings: EdxSettings, live_time_s: float) -> None:
    height, width, depth = cube.shape
    words = {
        "width": width,
        "height": height,
        "depth": depth,
        "offset": 0,
        "data-length": cube.dtype.itemsize,
        "data-type": "unsigned",
        "byte-order": "little-endian",
        "record-by": "vector",
        "ev-per-chan": settings.energy_scale_ev,
        "depth-origin": settings.energy_offset_ev,
        "depth-units": "eV",
        "live-time": repr(float(live_time_s)),
    }
    lines = ["key\tvalue", *(f"{key}\t{value}" for key, value in words.items())]
    path.write_text("\r\n".join(lines) + "\r\n", encoding="ascii")


def write_nexus(path: Path, cube: npt.NDArray[Any], settings: EdxSettings, live_time_s: float) -> None:
    import h5py

    hidden = path.with_suffix(".part")
    with h5py.File(hidden, "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        data = entry.create_group("data")
        data.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": [".", ".", "energy"]})
        data["counts"] = cube
        energies = settings.energy_offset_ev + settings.energy_scale_ev * np.arange(cube.shape[2])
        data["energy"] = energies / 1e3
        data["energy"].attrs["units"] = "keV"
        entry["live_time"] = live_time_s
    hidden.rename(path)


def _append(path: Path, piece: bytes) -> None:
    with contextlib.suppress(FileNotFoundError), path.open("ab") as file:
        file.write(piece)


FACTORY = EmulatorFactory("edx", SpectrumVendorSettings, SpectrumVendor)
