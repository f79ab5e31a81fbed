"""Stands for Thermo Fisher's AutoScript client, which is not to be had without a microscope: the names that fibsem's
class for it calls, as they read in fibsem's source. It shows that the driver and that class fit together, nothing about
AutoScript itself.

One microscope, any number of clients. A move and a picture keep their caller waiting, as they are said to.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


class Value:
    def __init__(self, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
        self.value = value
        self.limits = SimpleNamespace(min=low, max=high)
        self.available_values = [value]


class Record(SimpleNamespace):
    """Of whatever fields it is made with."""


class StagePosition(Record):
    pass


class CompustagePosition(Record):
    pass


class Column:
    def __init__(self, bench: Installation, name: str) -> None:
        self._bench, self.name = bench, name
        self.blanked, self.on = False, True
        self.working_distance = Value(4e-3)
        self.beam_current = Value(1e-10, 1e-12, 1e-7)
        self.high_voltage = Value(2000.0, 500.0, 30000.0)
        self.horizontal_field_width = Value(1e-4, 1e-6, 2e-3)
        self.beam_shift = Value(Record(x=0.0, y=0.0))
        self.stigmator = Value(Record(x=0.0, y=0.0))
        self.scanning = Record(
            dwell_time=Value(1e-6),
            rotation=Value(0.0),
            resolution=Value("1536x1024"),
            mode=Record(set_full_frame=lambda: bench.tell("full frame", name)),
        )

    @property
    def is_blanked(self) -> bool:
        self._bench.pass_a_call()
        return self.blanked

    @property
    def is_on(self) -> bool:
        self._bench.pass_a_call()
        return self.on

    def blank(self) -> None:
        self._bench.tell("blank", self.name)
        self.blanked = True

    def unblank(self) -> None:
        self._bench.tell("unblank", self.name)
        self.blanked = False

    def turn_off(self) -> None:
        self._bench.tell("off", self.name)
        self.on = False


class Installation:
    """The microscope's PC: `events` in the order in which they reached it."""

    def __init__(self, sleep: Callable[[float], None], call_s: float = 1e-3, move_s: float = 0.5) -> None:
        self._sleep, self._call_s, self._move_s = sleep, call_s, move_s
        self.events: list[tuple[str, str]] = []
        self._noise = np.random.default_rng(1)
        self.clients = 0
        self.at = StagePosition(x=0.0, y=0.0, z=5e-3, r=0.0, t=0.0, coordinate_system="Raw")
        self.beams = Record(electron_beam=Column(self, "electrons"), ion_beam=Column(self, "ions"))
        self.view = 1
        mode, kind = Value("SecondaryElectrons"), Value("ETD")
        kind.available_values = ["ETD", "TLD"]
        self.detector = Record(type=kind, mode=mode, brightness=Value(0.5), contrast=Value(0.5))

    def pass_a_call(self) -> None:
        self._sleep(self._call_s)

    def tell(self, what: str, of: str) -> None:
        self.pass_a_call()
        self.events.append((what, of))

    def client(self) -> Any:
        self.clients += 1
        about = Record(name="Helios", serial_number="9922", version="25")
        versions = Record(client=Record(version="4.8"), server=Record(version="4.8"))
        return Record(
            connect=lambda host, port: self.tell("connect", f"{host}:{port}"),
            disconnect=lambda: self.tell("disconnect", ""),
            service=Record(system=about, autoscript=versions),
            specimen=Record(compustage=Record(is_installed=False), stage=Stage(self)),
            beams=self.beams,
            detector=self.detector,
            imaging=Record(
                set_active_view=self.look, set_active_device=self.look, grab_frame=self.grab, get_active_view=lambda: 1
            ),
            patterning=Record(
                list_all_application_files=lambda: ["Si"], set_default_application_file=lambda name: None
            ),
            vacuum=Record(chamber_state="Pumped", chamber_pressure=Value(3e-5)),
        )

    def look(self, view: int) -> None:
        self.view = view

    def move(self, target: StagePosition) -> None:
        self.tell("move", "")
        self._sleep(self._move_s)
        for axis in "xyzrt":
            value = getattr(target, axis)
            if value is not None:
                setattr(self.at, axis, value)

    def grab(self, settings: Record) -> Record:
        self.tell("grab", self.beams.electron_beam.name)
        columns, rows = (int(side) for side in settings.resolution.split("x"))
        self._sleep(columns * rows * settings.dwell_time)
        brightest = 1 if self.beams.electron_beam.blanked else 200
        side_m = self.beams.electron_beam.horizontal_field_width.value / columns
        return Record(
            data=self._noise.integers(0, brightest, (rows, columns), np.uint8),
            metadata=Record(
                acquisition=Record(acquisition_datetime=0.0),
                binary_result=Record(pixel_size=Record(x=side_m, y=side_m)),
            ),
        )


class Stage:
    is_installed = is_homed = is_linked = True

    def __init__(self, bench: Installation) -> None:
        self._bench = bench

    @property
    def current_position(self) -> StagePosition:
        self._bench.pass_a_call()
        return StagePosition(**vars(self._bench.at))

    def set_default_coordinate_system(self, system: str) -> None:
        assert system == "Raw"

    def absolute_move(self, target: StagePosition, settings: Record) -> None:
        self._bench.move(target)

    def get_axis_limits(self, axis: str) -> Any:
        reach = {"x": (-0.055, 0.055), "y": (-0.055, 0.055), "z": (0.0, 0.05), "t": (-0.2, 1.05)}[axis]
        return Record(min=reach[0], max=reach[1])


def install(bench: Installation, patched: Any) -> None:
    """In the place of AutoScript, for fibsem's class; `patched` is pytest's monkeypatch."""
    from fibsem import microscope
    from fibsem.microscopes import autoscript

    structures = ModuleType("autoscript_sdb_microscope_client.structures")
    structures.Point = lambda x, y: Record(x=x, y=y)  # type: ignore[attr-defined]
    patched.setitem(sys.modules, "autoscript_sdb_microscope_client", ModuleType("autoscript_sdb_microscope_client"))
    patched.setitem(sys.modules, "autoscript_sdb_microscope_client.structures", structures)
    systems = Record(RAW="Raw", SPECIMEN="Specimen")
    for module in (microscope, autoscript):
        patched.setattr(module, "THERMO_API_AVAILABLE", True)
        patched.setattr(module, "CoordinateSystem", systems, raising=False)
        patched.setattr(module, "StagePosition", StagePosition, raising=False)
    patched.setattr(autoscript, "CompustagePosition", CompustagePosition, raising=False)
    patched.setattr(microscope, "SdbMicroscopeClient", bench.client, raising=False)
    for name in ("MoveSettings", "GrabFrameSettings"):
        patched.setattr(microscope, name, Record, raising=False)
