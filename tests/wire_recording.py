"""A recorded tilt series of the tests' own nanowire: scan frames, events with spectra, hidden shifts and axis."""

from __future__ import annotations

from functools import cache

import numpy as np

from cryoctl.analysis.detector_response import Detector, line_template
from cryoctl.analysis.lines import family_of
from cryoctl.launch.tilt_recording import EnergyAxis, RecordedTilt, TiltRecording
from tests.nanowire_phantom import at_pixel_size, nanowire, projections, with_marks

N_CHANNELS, SCALE_EV = 512, 10.0
ELEMENTS = ("Si", "O", "F")


def spectra() -> dict[str, np.ndarray]:
    """Counts a channel of one count of each element, and of the background."""
    edges = SCALE_EV * np.arange(N_CHANNELS + 1)
    found = {name: line_template(family_of(name), Detector(), edges) for name in ELEMENTS}
    centre = (edges[1:] + edges[:-1]) / 2
    background = np.where(centre > 200, np.exp(-centre / 1500.0), 0.0)
    return {**{name: one / one.sum() for name, one in found.items()}, "background": background / background.sum()}


@cache
def recording(
    n: int = 40,
    n_x: int = 32,
    peak: float = 6.0,
    scans: int = 4,
    step_deg: int = 6,
    axis_deg: float = 1.0,
    seed: int = 3,
) -> TiltRecording:
    """About `peak` counts a pixel and tilt of each element; shifts up to two pixels; known truth."""
    rng = np.random.default_rng([seed, 5])
    fine = nanowire(n, n_x, seed)
    angles = [float(a) for a in range(-60, 61, step_deg)]
    shift = rng.uniform(-2, 2, (len(angles), 2))
    shift[len(angles) // 2] = 0.0
    images = {name: projections(volume, angles, shift, axis_deg) for name, volume in fine.items()}
    marked = with_marks(fine["Si"] + 0.4 * (fine["O"] + fine["F"]), seed=seed)
    haadf = projections(marked, angles, shift, axis_deg)
    shapes = spectra()
    tilts: list[RecordedTilt] = []
    for k, angle in enumerate(angles):
        events = []
        for _ in range(scans):
            pixels, channels = [], []
            for name, shape in shapes.items():
                mean = (
                    images[name][k] * peak / images[name].max() / scans
                    if name in images
                    else np.full(haadf[k].shape, 0.03 * peak / scans)
                )
                counts = rng.poisson(mean)
                where = np.repeat(np.arange(counts.size), counts.ravel())
                pixels.append(where.astype(np.uint32))
                channels.append(rng.choice(N_CHANNELS, where.size, p=shape).astype(np.uint16))
            events.append((np.concatenate(pixels), np.concatenate(channels)))
        picture = rng.poisson(100 + 400 * haadf[k] / haadf.max(), (scans, *haadf[k].shape)).astype(np.uint16)
        tilts.append(
            RecordedTilt(frame=k, tilt_deg=angle, scans=picture, shifts_px=((0.0, 0.0),) * scans, events=tuple(events))
        )
    return TiltRecording(
        name="test",
        target="wire",
        pixel_size_m=1e-8,
        tilts=tuple(tilts),
        energy=EnergyAxis(
            n_channels=N_CHANNELS, offset_ev=0.0, scale_ev=SCALE_EV, beam_energy_ev=200e3, elements=ELEMENTS
        ),
        truth={name: at_pixel_size(volume) for name, volume in fine.items()},
    )
