"""`mrc`: tilt stacks sorted by angle with `.mdoc` and `.rawtlt` (IMOD, AreTomo, Warp), and volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt

from cryoctl.runfile.export.series import TiltOrder, folder_for, stacks, tilt_orders
from cryoctl.runfile.node import Node
from cryoctl.runfile.reader import Run


def export(run: Run, out: Path | None = None) -> tuple[Path, ...]:
    """Write float32 stacks [tilt, y, x] and, where there are any, volumes [z, y, x], pixel size in the header."""
    orders, folder = tilt_orders(run), folder_for(run, out)
    pixel_a = float(run.image.pixel_size_m) * 1e10
    written: list[Path] = []
    for order in orders:
        for name, data in stacks(run).items():
            path = folder / f"{order.name}_{name}.mrc"
            stack = order.stack(data)
            _write(path, stack, pixel_a, volume=False)
            path.with_suffix(".rawtlt").write_text(
                "".join(f"{tilt:.4f}\n" for tilt in order.tilts_deg), encoding="ascii", newline="\n"
            )
            mdoc = path.with_name(path.name + ".mdoc")
            mdoc.write_text(_mdoc(run, order, path.name, stack.shape, pixel_a), encoding="ascii", newline="\n")
            written += [path, path.with_suffix(".rawtlt"), mdoc]
    reconstructions: Node = run.reconstruction
    for name in reconstructions:
        made: Any = reconstructions[name]
        for element in made:
            values = made[element]
            if isinstance(values, Node) and "volume" in values:
                path = folder / f"{run.path.stem}_{name}_{element}_rec.mrc"
                voxel_a = float(values["voxel_size_m"]) * 1e10 if "voxel_size_m" in values else pixel_a
                _write(path, np.asarray(values["volume"], dtype=np.float32), voxel_a, volume=True)
                written.append(path)
    return tuple(written)


def _write(path: Path, data: npt.NDArray[np.float32], pixel_a: float, *, volume: bool) -> None:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        if volume:
            file.set_volume()
        else:
            file.set_image_stack()
        if np.isfinite(pixel_a):
            file.voxel_size = pixel_a


def _mdoc(run: Run, order: TiltOrder, name: str, shape: tuple[int, ...], pixel_a: float) -> str:
    """SerialEM's text: doses in e-/A^2, of the record exposures of this target only."""
    doses, times = np.asarray(run.image.dose_e_per_a2)[order.frames], np.asarray(run.image.time_s)[order.frames]
    lines = [f"ImageFile = {name}", f"ImageSize = {shape[2]} {shape[1]}", "DataMode = 2"]
    if np.isfinite(pixel_a):
        lines.insert(1, f"PixelSpacing = {pixel_a:.6g}")
    if "voltage_v" in run.entry and np.isfinite(run.entry.voltage_v):
        lines.append(f"Voltage = {run.entry.voltage_v / 1e3:g}")
    for section, tilt_deg in enumerate(order.tilts_deg):
        prior = doses[times < times[section]].sum()
        lines += [
            "",
            f"[ZValue = {section}]",
            f"TiltAngle = {tilt_deg:.4f}",
            f"ExposureDose = {doses[section]:.6g}",
            f"PriorRecordDose = {prior:.6g}",
        ]
    return "\n".join(lines) + "\n"
