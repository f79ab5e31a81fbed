"""`tilt-stack`: HAADF and each element as `.hspy` tilt stacks [tilt, y, x] sorted by angle, as ETSpy loads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryoctl.runfile.export.hspy_layout import Axis, HspyFile
from cryoctl.runfile.export.series import folder_for, stacks, tilt_orders
from cryoctl.runfile.reader import Run


def export(run: Run, out: Path | None = None) -> tuple[Path, ...]:
    """Write float32 stacks, one file a target and signal; the angles stand in `metadata.Tomography.tilts`."""
    orders, folder = tilt_orders(run), folder_for(run, out)
    step_nm = float(run.image.pixel_size_m) * 1e9
    unit, step = ("nm", step_nm) if np.isfinite(step_nm) else ("px", 1.0)
    written: list[Path] = []
    for order in orders:
        angles = order.tilts_deg
        spacing = float(angles[1] - angles[0]) if len(angles) > 1 else 1.0
        even = len(angles) > 1 and spacing > 0 and np.allclose(np.diff(angles), spacing, atol=1e-6)
        for name, data in stacks(run).items():
            rows, columns = data.shape[1:]
            axes = (
                Axis(
                    name="Tilt",
                    size=len(angles),
                    scale=spacing if even else 1.0,
                    offset=float(angles[0]) if even else 0.0,
                    units="degrees" if even else "_None_",
                    navigate=True,
                ),
                Axis(name="y", size=rows, scale=step, units=unit),
                Axis(name="x", size=columns, scale=step, units=unit),
            )
            metadata = {
                "General": {"title": f"{order.name} {name}", "original_filename": run.path.name},
                "Signal": {"signal_type": ""},
                "Tomography": {"tilts": angles, "axis": "x", "tiltaxis": 0.0, "xshift": 0.0, "yshift": 0.0},
                "_HyperSpy": {},
            }
            path = folder / f"{order.name}_{name}.hspy"
            with HspyFile(path, axes, "f4", metadata, (1, rows, columns)) as stored:
                stored[...] = order.stack(data)
            written.append(path)
    return tuple(written)
