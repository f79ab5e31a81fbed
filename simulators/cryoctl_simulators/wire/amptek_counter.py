"""What an emulated DP5 counts of the X-rays that the world's detector sees: spectrum, counters, clocks, buffers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.settings import EdxSettings
from cryoctl_simulators.wire.amptek_packets import Condition
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.noise import generator

FULL = 2**24 - 1
Spectrum = npt.NDArray[np.int64]


class Counter:
    """`gated`: a wire stops it while the beam is blanked; `clocked`: another tells it the end of each pixel."""

    def __init__(
        self, name: str, settings: EdxSettings, world: World, *, gated: bool, clocked: bool, most: int
    ) -> None:
        self._name = name
        self._settings = settings
        self._world = world
        self._gated = gated
        self._clocked = clocked
        self._most = most
        self.gate = "OFF"
        self.condition = Condition()
        self.spectrum: Spectrum = np.zeros(1024, np.int64)
        self.stored: dict[int, tuple[Spectrum, bytes]] = {}
        self._since_s = 0.0
        self._real_s = self._accumulated_s = 0.0

    @property
    def channels(self) -> int:
        return len(self.spectrum)

    def set_channels(self, channels: int) -> None:
        if channels != self.channels:
            self.spectrum = np.zeros(channels, np.int64)
            self.stored = {}

    def enable(self) -> None:
        if not self.condition.enabled:
            self.condition.enabled = True
            self._since_s = self._world.time_s

    def disable(self) -> None:
        self._run_clocks()
        self.condition.enabled = False

    def clear(self) -> None:
        self._since_s = self._world.time_s
        self._real_s = self._accumulated_s = 0.0
        self.spectrum[:] = 0
        self.condition.fast = self.condition.slow = 0
        self._run_clocks()

    def restart_buffering(self) -> None:
        self.condition.buffering, self.condition.next_buffer = True, 0
        self.stored = {}

    def told(self) -> bytes:
        self._run_clocks()
        return self.condition.encode()

    def _run_clocks(self) -> None:
        now_s = self._world.time_s
        if self.condition.enabled:
            self._real_s += now_s - self._since_s
            if not self._is_gated:
                self._accumulated_s += now_s - self._since_s
        self._since_s = now_s
        self.condition.real_ms = round(self._real_s * 1e3)
        self.condition.accumulated_ms = round(self._accumulated_s * 1e3)

    @property
    def _is_gated(self) -> bool:
        return self._gated and self.gate != "OFF"

    def record_scan(self, frame: ScanFrame) -> None:
        """The beam finished a scan frame now, during which it counted if it was enabled."""
        enabled, share = self.condition.enabled, self._share(frame)
        self._run_clocks()
        pixels = frame.shape[0] * frame.shape[1]
        if self._clocked:
            self.condition.pulses += pixels
        if not enabled:
            return
        real_s = pixels * frame.dwell_s
        rng = generator(self._world.seed, self._name, frame.exposure, frame.index)
        taken = self._world.sample.x_rays(frame, self._settings, real_s, rng)
        kept = rng.random(len(taken.pixel)) < share
        if self._world.faults.find(self._name, "drop-out") is not None:
            kept[:] = False
        pixel = taken.pixel[kept].astype(np.int64)
        channel = taken.channel[kept].astype(np.int64) * self.channels // self._settings.n_channels
        per_pixel = np.bincount(pixel, minlength=pixels)
        fast = rng.poisson(taken.input_rate_hz * frame.dwell_s * share, pixels)
        if self.condition.buffering and self._clocked:
            self._store(pixel, channel, np.maximum(fast, per_pixel), per_pixel, frame.dwell_s)
            return
        self.spectrum += np.bincount(channel, minlength=self.channels)
        np.minimum(self.spectrum, FULL, out=self.spectrum)
        self.condition.slow += len(pixel)
        self.condition.fast += max(int(fast.sum()), len(pixel))
        if self._is_gated:
            self._accumulated_s += real_s * share

    def _share(self, frame: ScanFrame) -> float:
        """Of the frame, while it was enabled."""
        now_s = self._world.time_s
        began_s = max(self._since_s, frame.time_s) if self.condition.enabled else now_s
        return min(1.0, (now_s - began_s) / max(now_s - frame.time_s, 1e-9))

    def _store(self, pixel: Spectrum, channel: Spectrum, fast: Spectrum, slow: Spectrum, dwell_s: float) -> None:
        """Each pulse stores what was counted since the one before and clears; full, it stops by itself."""
        whole = np.bincount(pixel * self.channels + channel, minlength=len(slow) * self.channels)
        per_pixel = whole.reshape(len(slow), self.channels)
        for index in range(len(slow)):
            at = self.condition.next_buffer
            if at >= self._most:
                self.condition.buffering = False
                break
            one = Condition(
                fast=int(fast[index]),
                slow=int(slow[index]),
                accumulated_ms=round(dwell_s * 1e3),
                real_ms=round(dwell_s * 1e3),
                serial=self.condition.serial,
                model=self.condition.model,
                enabled=True,
                buffering=True,
                next_buffer=at,
            )
            self.stored[at] = (per_pixel[index].copy(), one.encode())
            self.condition.next_buffer = at + 1
