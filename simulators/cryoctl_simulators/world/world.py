"""One `World` holds the truth of an instrument: its devices act on it and see it only through their physics."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoctl.clock import in_virtual_time, now_s
from cryoctl.errors import FileProblem, InstrumentError
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl.units import quoted
from cryoctl_simulators.computer import Computer
from cryoctl_simulators.faults import FaultSchedule
from cryoctl_simulators.settings import (
    BeamSettings,
    BiasSettings,
    HolderSettings,
    LightSettings,
    NeedleSettings,
    Settings,
    StageSettings,
)
from cryoctl_simulators.world import column, goniometer, lamp, piezo_needle, source
from cryoctl_simulators.world.cold import ColdHolder
from cryoctl_simulators.world.column import BLANK_LOG, Column, HiddenColumn
from cryoctl_simulators.world.dose_truth import KINDS, DoseTruth
from cryoctl_simulators.world.frame_log import FRAME_LOG, FrameLog
from cryoctl_simulators.world.goniometer import Goniometer, HiddenStage
from cryoctl_simulators.world.lamp import HiddenLamp, Lamp
from cryoctl_simulators.world.overrides import check_clocks, checked, part
from cryoctl_simulators.world.pre_image import PreImage
from cryoctl_simulators.world.sample import Sample
from cryoctl_simulators.world.source import BIAS_BUFFER, BIAS_LOG
from cryoctl_simulators.world.specimen import Place, Specimen
from cryoctl_simulators.world.specimen_check import check_specimen, differing, kind_of
from cryoctl_simulators.world.wiring import bias_clock, needle_of, source_of
from cryoctl_simulators.world.world_file import ArraySpec, WorldFile

if TYPE_CHECKING:
    from cryoctl_simulators.world.column import ScanFrame


_REHEARSED_SPECIMEN = 987654340
"""A rehearsal sees a wire of the same kind, never the one that this seed draws. This one is typical: its Si, O, F and
C are within 1 % of the median of sixty wires, which scatter by 5 % (Si) and 3 %."""


class World:
    """Opened at the first `connect` of a device, then the same for all.

    `context.shared` may hold `resumed_s` (run time at which a resumed run goes on; absent for a new one), `attended`
    (False where nobody is there to open the valves) and `specimen` (the recipe's specimen fields). It gets `world`
    (this), an `on_state` listener that sets off faults, `followers` to be told what happens, and `victims`, where child
    processes of the run are entered so that a fault can end them. With `second` true this is a second connection to an
    instrument that another process drives in real time: it looks on, and changes only what it is told to.

    Args:
        context: what the device factories were given.

    Raises:
        RecipeError: a `simulation.` field that there is not.
        InstrumentError: a fault that could never act.
    """

    def __init__(self, context: DeviceContext) -> None:
        self.context = context
        self.seed = context.seed
        self.given = checked(context.simulation)
        self.faults = FaultSchedule(context.faults, self.run_time_s)
        self.computer = Computer(self.faults, self.run_time_s)
        self.settings: dict[str, Settings] = {}
        self.devices: dict[str, Any] = {}
        self._opened = False
        self.second = bool(context.shared.get("second"))
        self._base_s = 0.0
        self._run_began_s = 0.0
        self._asked_s = 0.0
        context.shared.setdefault("on_state", []).append(self.note_state)
        context.shared.setdefault("followers", []).append(self.computer.follower)
        context.shared["victims"] = self.computer.victims
        context.medium = self.computer.disk

    @classmethod
    def of(cls, context: DeviceContext) -> World:
        """The world that all devices of this context share."""
        found = context.shared.get("world")
        if found is None:
            found = context.shared["world"] = cls(context)
        return found

    def add(self, name: str, kind: str, settings: Settings, device: Any) -> None:
        """A device of this instrument; its settings hold the sigmas that hidden errors are drawn from."""
        self.settings[kind] = settings
        self.devices[name] = device
        self.faults.register(name, kind, wired=bool(getattr(device, "wired", False)))

    def note_state(self, state: str, visit: int = 0) -> None:
        self.faults.note_state(state, visit)

    def run_time_s(self) -> float:
        """Time of this run (s); once its loop has ended, the last that was asked for."""
        with contextlib.suppress(RuntimeError):
            self._asked_s = self.time_s - self._run_began_s
        return self._asked_s

    @property
    def time_s(self) -> float:
        """Time of the world (s): goes on from run to run."""
        return self._base_s + now_s()

    @property
    def latest_s(self) -> float:
        """Time of the world (s); once its loop has ended, that of its last act."""
        try:
            return self.time_s
        except RuntimeError:
            return float(self.file.record["time_s"])

    def since_start(self, world_time_s: Any) -> Any:
        """World time(s) as time of this run (s)."""
        return world_time_s - self._run_began_s

    def check(self) -> None:
        """
        Raises:
            InstrumentError: a fault of a device that there is not.
            RecipeError: a stage or parameter of the specimen, or a clock, that there is not.
            FileProblem: the world file can't be used, or its specimen is another one.
        """
        self.faults.check()
        self._check_rehearsable()
        check_clocks(
            self.given, {name: bool(getattr(device, "has_own_clock", False)) for name, device in self.devices.items()}
        )
        check_specimen(self._specimen_fields())
        path = self.context.world_file
        if path is None:
            return
        if path.exists():
            self._check_same_specimen(path, WorldFile.open(path))
        elif not path.absolute().parent.is_dir():
            raise FileProblem(f"world file {path}: there is no such folder; make it or choose another place")

    def _check_rehearsable(self) -> None:
        if not self.context.hidden_draws and self.faults.has("process", "kill"):
            raise InstrumentError(
                "faults: process kill ends the process itself, and a rehearsal leaves nothing to go on with; use run"
            )

    def open(self) -> None:
        """Make the world, or go on in the one of the world file.

        Raises:
            FileProblem: the world file can't be used.
        """
        if self._opened:
            return
        self.faults.check()
        stage = self._of("stage", StageSettings)
        beam = self._of("beam", BeamSettings)
        path = self.context.world_file
        if path is not None and path.exists():
            self.file = WorldFile.open(path)
            self._check_same_specimen(path, self.file)
        else:
            header = self._header(stage, beam)
            shape = _grid_shape(beam)
            specs = _specs(beam) | Sample.specs(shape) | kind_of(header["specimen"]).specs(shape)
            self.file = WorldFile.create(path, header, specs) if path else WorldFile.in_memory(header, specs)
        self._furnish(stage, beam)
        self._opened = True
        self.computer.switch_on()

    def look(self) -> None:
        """What the process that drives has done; only a second connection has to ask."""
        if self.second:
            self.file.refresh()

    def _of(self, kind: str, model: type[Any]) -> Any:
        return self.settings.get(kind) or model()

    def _specimen_fields(self) -> dict[str, Any]:
        return {**dict(self.context.shared.get("specimen", {})), **part(self.given, "specimen")}

    def _header(self, stage: StageSettings, beam: BeamSettings) -> dict[str, Any]:
        hidden, needle = self.context.hidden_draws, self._of("needle", NeedleSettings)
        return {
            "seed": self.seed,
            "hidden_draws": hidden,
            "specimen_seed": self.seed if hidden else _REHEARSED_SPECIMEN,
            "specimen": self._specimen_fields(),
            "stage": asdict(goniometer.draw(stage, self.seed, hidden, part(self.given, "stage"))),
            "beam": asdict(column.draw(beam, self.seed, hidden, part(self.given, "beam"))),
            "needle": asdict(piezo_needle.draw(needle, self.seed, hidden, part(self.given, "needle"))),
            "bias": asdict(source.draw(self._of("bias", BiasSettings), self.seed, hidden, bias_clock(self))),
            "light": asdict(lamp.draw(self._of("light", LightSettings), self.seed, hidden)),
            "dose_pixel_m": beam.dose_pixel_m,
        }

    def _check_same_specimen(self, path: Path, file: WorldFile) -> None:
        there, wanted = file.header["specimen"], self._specimen_fields()
        name = differing(there, wanted)
        if name:
            raise FileProblem(
                f"world file {path}: its specimen.{name} is {quoted(str(there.get(name, 'as drawn by default')))}, the "
                f"recipe says {quoted(str(wanted[name]))}; use the same specimen or another --world"
            )

    def _furnish(self, stage: StageSettings, beam: BeamSettings) -> None:
        file, header = self.file, self.file.header
        record = file.record
        for name in ("stage", "beam", "holder", "sample", "bias", "needle", "contact", "light", "run", "inserted"):
            record.setdefault(name, {})
        record.setdefault("safe_order", [])
        fresh = "time_s" not in record
        if self.second:
            self._base_s = float(record.get("real_base_s", 0.0))
            self._run_began_s = float(record.get("run_began_s", 0.0))
        else:
            self._begin_session(record)
        seed = int(header["seed"])
        drawn = dict(header["stage"])
        drawn["runout"] = tuple(tuple(one) for one in drawn["runout"])
        self.stage = Goniometer(stage, HiddenStage(**drawn), record["stage"], seed)
        self.column = Column(beam, HiddenColumn(**header["beam"]), record["beam"], file.arrays["blanking"], seed)
        self.cold = ColdHolder(self._of("holder", HolderSettings), record["holder"])
        self.dose = DoseTruth(file.arrays["dose"], float(header["dose_pixel_m"]), beam.tail_m, beam.tail_fraction)
        self.frames = FrameLog(file.arrays["frames"], record["run"])
        tail = (beam.tail_m, beam.tail_fraction)
        self.sample: Specimen = kind_of(header["specimen"]).make(
            Place(
                fields=header["specimen"],
                seed=int(header["specimen_seed"]),
                arrays=file.arrays,
                grid=self.dose.grid,
                record=record["sample"],
                tail=tail,
                temperature_k=self.cold.temperature_k,
            )
        )
        self.contact = needle_of(self, self.sample)
        self.source = source_of(self, self.contact if self.sample.has_cell else None)
        self.column.when_blanked = self.sample.closed
        lit = self.sample.illuminate
        self.lamp = Lamp(self._of("light", LightSettings), HiddenLamp(**header.get("light", {})), record["light"], lit)
        self.pre_image = PreImage(file.arrays, record, self.commit)
        if self.second:
            return
        self.pre_image.put_back()
        if self.context.shared.get("resumed_s") is None:
            self.frames.begin_run()
            if not fresh:
                self._remember_prior()
        if not self.column.record["blanked"]:
            self._end_of_interrupted_scan()
        self.stage.finish_interrupted_move(self.time_s)
        if self.context.shared.get("attended", True):
            self.column.record["valves_open"] = True
        self.commit()

    def _begin_session(self, record: dict[str, Any]) -> None:
        """The world's time goes on where it was left; for a resumed run at that run's own time, if that is later."""
        time_s = float(record.setdefault("time_s", 0.0))
        resumed_s = self.context.shared.get("resumed_s")
        if resumed_s is None:
            record["run_began_s"] = time_s
        else:
            time_s = max(time_s, float(record.setdefault("run_began_s", 0.0)) + float(resumed_s))
        self._run_began_s = float(record["run_began_s"])
        self._base_s = time_s - now_s()
        if not in_virtual_time():
            record["real_base_s"] = self._base_s  # the clock of real loops is one for all processes of a computer

    def _remember_prior(self) -> None:
        """A second run in this world: what was there before is no dose of this run."""
        before = self.file.arrays["before"]
        for index in range(len(KINDS)):
            if self.dose.maps[index].any():
                before[index] = self.dose.maps[index]

    def _end_of_interrupted_scan(self) -> None:
        """The process died with the beam open: the scan generator ended the scan frame by itself."""
        from cryoctl_simulators.world.exposing import finish_pending

        finish_pending(self)

    def made_safe(self, act: str) -> None:
        """Note an act that left a device safe; the order counts from when the beam was last opened."""
        order: list[str] = self.file.record["safe_order"]
        if act in order:
            order.remove(act)
        order.append(act)
        self.commit()

    def commit(self) -> None:
        """Store the record; called at each act."""
        self.file.record["time_s"] = max(self.file.record["time_s"], self.time_s)
        self.file.commit()

    def specimen_temperature_k(self) -> float:
        """True temperature (K), a warm holder by a fault included."""
        true_k = self.cold.temperature_k(self.time_s)
        warmer = self.faults.find("holder", "temperature-high")
        return true_k if warmer is None else max(true_k, warmer["temperature_k"])

    def pressure_pa(self) -> float:
        """True pressure at the specimen (Pa), a leak by a fault included."""
        usual_pa = self.cold.pressure_pa(self.time_s)
        bad = self.faults.find("vacuum", "pressure-high") or self.faults.find("holder", "pressure-high")
        return usual_pa if bad is None else max(usual_pa, bad["pressure_pa"])

    def seen(self, frame: ScanFrame) -> None:
        """A finished scan frame goes to every armed detector."""
        for device in self.devices.values():
            record = getattr(device, "record_scan", None)
            if record is not None:
                record(frame)

    def truth(self, dose_grid: MapGrid, volume_grid: VolumeGrid | None) -> Mapping[str, Any]:
        """See `cryoctl.interfaces.truth.TruthSource`."""
        from cryoctl_simulators.world.truth import tell

        return tell(self, dose_grid, volume_grid)


def _grid_shape(beam: BeamSettings) -> tuple[int, int]:
    half_x, half_y = (round(extent / beam.dose_pixel_m) for extent in beam.dose_extent_m)
    return (2 * half_y + 1, 2 * half_x + 1)


def _specs(beam: BeamSettings) -> dict[str, ArraySpec]:
    maps = (len(KINDS), *_grid_shape(beam))
    return {
        "dose": (maps, np.dtype(np.float32).str),
        "before": (maps, np.dtype(np.float32).str),
        "blanking": BLANK_LOG,
        "frames": FRAME_LOG,
        "bias_buffer": BIAS_BUFFER,
        "bias_log": BIAS_LOG,
        **PreImage.specs(_grid_shape(beam)),
    }
