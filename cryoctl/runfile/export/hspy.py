"""`hspy`: the EDX spectrum image of each target as HyperSpy's own file, sorted by tilt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.errors import BadInput
from cryoctl.runfile.export.hspy_layout import Axis, HspyFile
from cryoctl.runfile.export.series import TiltOrder, file_for, folder_for, tilt_orders
from cryoctl.runfile.reader import Run


def export(run: Run, out: Path | None = None) -> tuple[Path, ...]:
    """Write [tilt, y, x, energy] as uint16, one file a target; the angles stand in `metadata.Tomography.tilts`.

    Raises:
        BadInput: the run has no EDX.
    """
    if "edx" not in run:
        raise BadInput(f"{run.path.name} holds no EDX: export its pictures with --to tilt-stack")
    orders = tilt_orders(run)
    if len(orders) == 1:
        return (_write(run, orders[0], file_for(run, out, f"{orders[0].name}.hspy")),)
    folder = folder_for(run, out)
    return tuple(_write(run, order, folder / f"{order.name}.hspy") for order in orders)


def _write(run: Run, order: TiltOrder, path: Path) -> Path:
    rows, columns = run.image.data.shape[1:]
    n_channels = run.edx.spectra.shape[1]
    step_nm = float(run.image.pixel_size_m) * 1e9
    unit, step = ("nm", step_nm) if np.isfinite(step_nm) else ("px", 1.0)
    axes = (
        Axis(name="tilt", size=len(order.frames), navigate=True),
        Axis(name="y", size=rows, scale=step, units=unit, navigate=True),
        Axis(name="x", size=columns, scale=step, units=unit, navigate=True),
        Axis(
            name="Energy",
            size=n_channels,
            scale=float(run.edx.energy_scale_ev) / 1e3,
            offset=float(run.edx.energy_offset_ev) / 1e3,
            units="keV",
        ),
    )
    block = max(1, min(rows, (4 << 20) // max(1, 2 * columns * n_channels)))
    with HspyFile(path, axes, "u2", _metadata(run, order), (1, block, columns, n_channels)) as data:
        for row, frame in enumerate(order.frames):
            cube = run.edx.spectrum_image(int(frame))
            data[row, : cube.shape[0], : cube.shape[1]] = cube
    return path


def _metadata(run: Run, order: TiltOrder) -> dict[str, Any]:
    tem: dict[str, Any] = {"Detector": {"EDS": {"energy_resolution_MnKa": 130.0}}}
    live_s = np.nansum(np.asarray(run.edx.live_time_s)[order.frames], axis=1)
    tem["Detector"]["EDS"]["live_time"] = float(live_s.mean())
    if "voltage_v" in run.entry and np.isfinite(run.entry.voltage_v):
        tem["beam_energy"] = float(run.entry.voltage_v) / 1e3
    return {
        "General": {"title": f"{order.name} EDX", "original_filename": run.path.name},
        "Signal": {"signal_type": "EDS_TEM"},
        "Acquisition_instrument": {"TEM": tem},
        "Sample": {"elements": sorted(run.edx.lines_ev)},
        "Tomography": {"tilts": order.tilts_deg},
        "_HyperSpy": {},
    }
