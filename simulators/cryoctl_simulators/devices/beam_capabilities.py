"""What the simulated column says it can do, from its settings."""

from __future__ import annotations

from cryoctl.interfaces.beam import BeamCapabilities, ScanTiming
from cryoctl_simulators.settings import BeamSettings


def capabilities_of(one: BeamSettings) -> BeamCapabilities:
    timing = ScanTiming(
        settle_px=one.settle_px, flyback_s=one.flyback_s, blanks_flyback=one.blanks_flyback, latency_s=one.latency_s
    )
    return BeamCapabilities(
        timing=timing,
        image_shift_range_m=one.image_shift_range_m,
        defocus_range_m=one.defocus_range_m,
        min_dwell_s=one.min_dwell_s,
        max_dwell_s=one.max_dwell_s,
        max_scan_px=one.max_scan_px,
        current_range_a=one.current_range_a,
        blanker_latency_s=one.blanker_latency_s,
        second_stop_s=one.second_stop_s,
        current_drift_rel_per_s=one.current_drift_rel_per_s,
        voltages_v=one.voltages_v,
        optics_s=one.optics_s,
        measure_s=one.measure_s,
        measure_sigma_rel=one.measure_sigma_rel,
    )
