"""What a beam can do that is opened by command: mostly what its settings state."""

from __future__ import annotations

from cryoctl.interfaces.beam import BeamCapabilities, ScanTiming
from cryoctl_drivers.by_command.settings import CommandedBeamSettings


def capabilities(
    stated: CommandedBeamSettings,
    voltages_v: tuple[float, ...],
    sides_px: tuple[int, ...],
    max_scan_px: int,
    blanker_latency_s: float,
) -> BeamCapabilities:
    currents = [preset.current_a for preset in stated.presets.values()]
    return BeamCapabilities(
        timing=ScanTiming(
            settle_px=stated.settle_px,
            flyback_s=stated.flyback_s,
            blanks_flyback=False,
            latency_s=0.0,
            frame_s=stated.frame_s,
        ),
        image_shift_range_m=stated.image_shift_range_m,
        defocus_range_m=stated.defocus_range_m,
        min_dwell_s=stated.min_dwell_s,
        max_dwell_s=stated.max_dwell_s,
        max_scan_px=max_scan_px,
        current_range_a=(min(currents), max(currents)),
        blanker_latency_s=blanker_latency_s,
        second_stop_s=stated.second_stop_s,
        current_drift_rel_per_s=stated.current_drift_rel_per_s,
        voltages_v=voltages_v,
        optics_s=stated.optics_s,
        measure_s=0.0,
        square_px=sides_px,
        measure_sigma_rel=max(preset.current_sigma_rel for preset in stated.presets.values()),
    )
