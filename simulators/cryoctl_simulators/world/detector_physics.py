"""Detectors' physics for the settings of an instrument file, built once and kept."""

from __future__ import annotations

from functools import lru_cache

from cryoctl_simulators.optics.detector_response import DetectorResponse, load_detector
from cryoctl_simulators.optics.edx import EdxDetector, load_edx
from cryoctl_simulators.optics.haadf import FWHM_PER_SIGMA, HaadfDetector, load_haadf
from cryoctl_simulators.settings import EdxSettings, ImageDetectorSettings


@lru_cache(maxsize=16)
def haadf_detector(
    settings: ImageDetectorSettings, voltage_v: float, convergence_rad: float, tail: tuple[float, float]
) -> HaadfDetector:
    """An annular detector at a voltage; a camera is one that takes the electrons that are not scattered.

    `tail` is range (twice the sigma, m) and share of the probe's tails.
    """
    return HaadfDetector(
        load_haadf(
            {
                "beam_energy_ev": voltage_v,
                "inner_mrad": settings.inner_angle_rad * 1e3,
                "outer_mrad": settings.outer_angle_rad * 1e3,
                "convergence_mrad": convergence_rad * 1e3,
                "counts_per_electron": settings.gain_counts_per_electron,
                "offset_counts": settings.offset_counts,
                "read_noise_counts": settings.noise_counts,
                "tail_fwhm_m": max(tail[0] / 2 * FWHM_PER_SIGMA, 1e-12),
                "tail_share": tail[1],
            }
        )
    )


@lru_cache(maxsize=16)
def edx_detector(settings: EdxSettings, voltage_v: float) -> EdxDetector:
    response = DetectorResponse(
        load_detector(
            {
                "channels": settings.n_channels,
                "energy_offset_ev": settings.energy_offset_ev,
                "energy_scale_ev": settings.energy_scale_ev,
                "fwhm_mn_ka_ev": settings.fwhm_mn_ev,
                "processing_time_s": settings.pulse_s,
            }
        )
    )
    return EdxDetector(load_edx({"beam_energy_ev": voltage_v, "solid_angle_sr": settings.solid_angle_sr}), response)
