"""Image detectors and EDX for plans. They hold no beam: a trigger asks the session for an exposure, and only the run's
gate gives permits for one. Pictures are told by reference to the run file, which holds them once it is packed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cryoctl.bluesky.assets import DATASETS, SPECTRA, StreamAssets
from cryoctl.bluesky.extra import needed
from cryoctl.bluesky.framing import Framing
from cryoctl.bluesky.readings import DataKeys, Reading, integer_key, number_key, readings, text_key
from cryoctl.bluesky.shots import Shot, Shots
from cryoctl.bluesky.status import RequestStatus, done, failed
from cryoctl.errors import BadInput, Refused
from cryoctl.steps import Exposed

if TYPE_CHECKING:
    from cryoctl.bluesky.session import Session


class _NeverAgain:
    """bluesky asks this before it plays a trigger again after a pause."""

    def get(self) -> bool:
        return False


class Detector:
    """What both kinds share: Readable, Triggerable, Stageable, Configurable, Preparable, Pausable, WritesStreamAssets.

    Args:
        detector: name of the image detector whose picture belongs to the exposure.
    """

    parent: Any = None
    rewindable = _NeverAgain()

    def __init__(self, session: Session, name: str, shots: Shots, detector: str) -> None:
        self._session = session
        self.name = name
        self._shots = shots
        self._detector = detector
        self._shot: Shot | None = None
        self.framing = Framing()

    def trigger(self) -> RequestStatus:
        """Expose, through the gate; failed by `DoseRefused` where the dose would pass the limit."""
        if not self._session.is_open:
            return failed(Refused(f"{self.name}: the session has ended, nothing can be exposed: open another"))
        try:
            self._shot = self._shots.take(self.name, self._detector, self.framing)
        except BadInput as error:
            return failed(error)
        return RequestStatus(self._shot.future)

    def stage(self) -> list[Any]:
        self._shots.stage(self.name)
        return [self]

    def unstage(self) -> list[Any]:
        """Where it still exposes, that ends."""
        self._shots.unstage(self.name)
        if self._shot is not None and not self._shot.future.done():
            self._session.withdraw()
        return [self]

    def stop(self, success: bool = True) -> None:
        """Blanks: what it exposes ends, the dose so far is charged."""
        del success
        if self._shot is not None and not self._shot.future.done():
            self._session.withdraw()

    def pause(self) -> None:
        """What is exposed is finished. Raises `NoReplayAllowed`: nothing is exposed again by itself."""
        raise needed("bluesky.utils").NoReplayAllowed

    def resume(self) -> None: ...

    def configure(self, values: Mapping[str, Any]) -> tuple[Reading, Reading]:
        """Fields of `Framing`. Raises `BadInput`, and then nothing has changed."""
        old = self._configuration()
        self.framing = self.framing.changed(dict(values))
        return old, self._configuration()

    def prepare(self, value: Mapping[str, Any]) -> RequestStatus:
        """As `configure`."""
        try:
            self.configure(value)
        except BadInput as error:
            return failed(error)
        return done()

    def read_configuration(self) -> Reading:
        return self._configuration()

    def describe_configuration(self) -> DataKeys:
        told: DataKeys = {}
        for field, value in asdict(self.framing).items():
            source, name = f"{self.name}.{field}", f"{self.name}_{field}"
            if field == "shape":
                told[name] = {"source": source, "dtype": "array", "dtype_numpy": "<i8", "shape": [2], "units": "px"}
            elif isinstance(value, bool):
                told[name] = {"source": source, "dtype": "boolean", "shape": []}
            elif isinstance(value, str):
                told[name] = text_key(source)
            elif isinstance(value, int):
                told[name] = integer_key(source)
            else:
                told[name] = number_key(source, "s" if field == "dwell_s" else "m")
        return told

    def _configuration(self) -> Reading:
        values = asdict(self.framing)
        return readings({f"{self.name}_{field}": _plain(value) for field, value in values.items()})

    async def _exposed(self) -> tuple[Shot, Exposed]:
        """Of the last trigger, once it is over."""
        if self._shot is None:
            raise Refused(f"{self.name}: nothing was exposed; trigger it, then read")
        return self._shot, await asyncio.wrap_future(self._shot.future)


class PictureDetector(Detector):
    """An image detector; its picture is row `frame` of a dataset of the run file."""

    def __init__(self, session: Session, name: str, shots: Shots) -> None:
        super().__init__(session, name, shots, name)
        self._assets = StreamAssets(name)

    @property
    def hints(self) -> dict[str, Any]:
        return {"fields": [f"{self.name}_mean"]}

    async def read(self) -> Reading:
        shot, exposed = await self._exposed()
        picture = shot.picture
        assert picture is not None
        self._assets.came(picture.index)
        return readings(
            {
                f"{self.name}_mean": float(picture.registered_sum().mean()),
                f"{self.name}_exposure": exposed.exposure,
                f"{self.name}_frame": picture.index,
                f"{self.name}_tilt_deg": picture.tilt_deg,
                f"{self.name}_dose_e_per_a2": exposed.dose_e_per_a2,
                f"{self.name}_duration_s": exposed.duration_s,
                f"{self.name}_time_s": exposed.started_s,
                f"{self.name}_outcome": exposed.outcome,
                f"{self.name}_sha256": picture.sha256,
            }
        )

    async def describe(self) -> DataKeys:
        name, shape, kind = self.name, self.framing.shape, self.framing.kind
        self._assets.describe(self._session.run_file, DATASETS[kind], (1, *shape))
        return {
            f"{name}_mean": number_key(f"{name}.mean", "counts"),
            f"{name}_exposure": integer_key("run.exposure"),
            f"{name}_frame": integer_key("run.frame"),
            f"{name}_tilt_deg": number_key("stage.tilt_deg", "deg"),
            f"{name}_dose_e_per_a2": number_key("ledger.dose_e_per_a2", "e/A^2"),
            f"{name}_duration_s": number_key("run.duration_s", "s"),
            f"{name}_time_s": number_key("run.time_s", "s"),
            f"{name}_outcome": text_key("run.outcome"),
            f"{name}_sha256": text_key("run.sha256"),
            name: self._assets.data_key("<u4", (1, *shape)),
        }

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        del index
        return self._assets.collect()

    def get_index(self) -> int:
        return self._assets.count


class EdxSpectrum(Detector):
    """The EDX detector; its spectrum, summed over the field, is row `frame` of /edx/spectra in the run file."""

    def __init__(self, session: Session, name: str, shots: Shots, detector: str, n_channels: int) -> None:
        super().__init__(session, name, shots, detector)
        self._n_channels = n_channels
        self._assets = StreamAssets(name)

    @property
    def hints(self) -> dict[str, Any]:
        return {"fields": [f"{self.name}_counts"]}

    def trigger(self) -> RequestStatus:
        """As `Detector.trigger`; where an image detector is staged with it, one exposure serves both."""
        if not self._detector:
            return failed(BadInput(f"{self.name}: the instrument file has no image detector, which scans it"))
        if self.framing.kind != "record":
            return failed(BadInput(f"{self.name}: framing.kind is {self.framing.kind}, EDX is kept of a record only"))
        return super().trigger()

    async def read(self) -> Reading:
        shot, exposed = await self._exposed()
        assert shot.picture is not None
        self._assets.came(shot.picture.index)
        return readings(
            {
                f"{self.name}_counts": exposed.edx_counts,
                f"{self.name}_exposure": exposed.exposure,
                f"{self.name}_live_time_s": float(sum(one.live_time_s for one in shot.picture.edx)),
            }
        )

    async def describe(self) -> DataKeys:
        name = self.name
        self._assets.describe(self._session.run_file, SPECTRA, (1, self._n_channels))
        return {
            f"{name}_counts": integer_key(f"{name}.counts"),
            f"{name}_exposure": integer_key("run.exposure"),
            f"{name}_live_time_s": number_key(f"{name}.live_time_s", "s"),
            name: self._assets.data_key("<u4", (1, self._n_channels)),
        }

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        del index
        return self._assets.collect()

    def get_index(self) -> int:
        return self._assets.count


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
