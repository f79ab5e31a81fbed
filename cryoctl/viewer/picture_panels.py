"""Pictures of a run: image, element maps, slices through volumes, each with its scale bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.viewer.palette import FAINT, image_map

Image = npt.NDArray[Any]

_NICE = (1, 2, 5)


def picture(
    axes: Any, image: Image, element: str, title: str, pixel_size_m: float, *, note: str = "", bar: bool = True
) -> None:
    """One picture [row, column], row 0 at the bottom as in the specimen's frame, black at 0 or the emptiest pixels."""
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low = float(np.percentile(finite, 1)) if element == "HAADF" and finite.size else 0.0
    high = float(np.percentile(finite, 99.7)) if finite.size else 1.0
    axes.imshow(
        values, cmap=image_map(element), vmin=low, vmax=max(high, low + 1e-12), origin="lower", interpolation="nearest"
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title, fontsize=9, pad=3, loc="left")
    if note:
        axes.set_title(note, fontsize=7.5, pad=3, loc="right", color=FAINT)
    if bar:
        scale_bar(axes, values.shape[1], values.shape[0], pixel_size_m)


def scale_bar(axes: Any, columns: int, rows: int, pixel_size_m: float) -> None:
    """A white bar of a round length, about a quarter of the width, at the lower right."""
    if not (np.isfinite(pixel_size_m) and pixel_size_m > 0):
        return
    length_m = round_length(0.28 * columns * pixel_size_m)
    pixels = length_m / pixel_size_m
    right, low = columns * 0.96 - 0.5, rows * 0.06 - 0.5
    axes.plot([right - pixels, right], [low, low], color="white", linewidth=2.5, solid_capstyle="butt")
    from matplotlib.patheffects import withStroke

    label = axes.annotate(
        length_text(length_m),
        (right - pixels / 2, low),
        xytext=(0, 2),
        textcoords="offset points",
        color="white",
        fontsize=7,
        ha="center",
        va="bottom",
    )
    label.set_path_effects([withStroke(linewidth=2, foreground="black")])


def round_length(most_m: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above `most_m`."""
    power = 10.0 ** np.floor(np.log10(most_m))
    return float(max(nice * power for nice in _NICE if nice * power <= most_m * (1 + 1e-9)))


def length_text(length_m: float) -> str:
    for unit, size in (("mm", 1e-3), ("um", 1e-6), ("nm", 1e-9)):
        if length_m >= size * (1 - 1e-9):
            return f"{length_m / size:g} {unit}".replace("um", "\u00b5m")
    return f"{length_m / 1e-10:.3g} \u00c5"


def body_box(volumes: Mapping[str, Image]) -> tuple[slice, slice, tuple[int, int, int]]:
    """Rows in z and y that hold the body, with a margin, and its centre (z, y, x), from all volumes together."""
    total: npt.NDArray[np.float64] | None = None
    for volume in volumes.values():
        values = np.maximum(np.asarray(volume, dtype=np.float64), 0)
        peak = float(np.percentile(values, 99.9)) or 1.0
        total = values / peak if total is None else total + values / peak
    assert total is not None
    edges: list[slice] = []
    for axis, others in ((0, (1, 2)), (1, (0, 2))):
        profile = total.sum(axis=others)
        inside = np.flatnonzero(profile > 0.12 * float(profile.max()))
        size = total.shape[axis]
        if inside.size == 0:
            inside = np.arange(size)
        margin = max(2, round(0.2 * (int(inside[-1]) - int(inside[0]) + 1)))
        edges.append(slice(max(0, int(inside[0]) - margin), min(size, int(inside[-1]) + 1 + margin)))
    strong = total > 0.5 * float(np.percentile(total, 99.5))
    z, y = (
        int(np.median(found)) if found.size else total.shape[k] // 2 for k, found in enumerate(np.nonzero(strong)[:2])
    )
    return edges[0], edges[1], (z, y, total.shape[2] // 2)


def slices(
    axes: tuple[Any, Any, Any],
    volume: Image,
    element: str,
    box: tuple[slice, slice, tuple[int, int, int]],
    voxel_size_m: float,
    *,
    first: bool,
    note: str = "",
) -> None:
    """Three slices through the body's centre: from above (x, y), from the side (x, z), across (y, z)."""
    in_z, in_y, (z, y, x) = box
    values = np.asarray(volume, dtype=np.float64)
    cuts = (
        (values[z, in_y, :], "xy: from above"),
        (values[in_z, y, :], "xz: beam upwards"),
        (values[in_z, in_y, x], "yz: across the wire"),
    )
    for place, (cut, title) in zip(axes, cuts, strict=True):
        picture(place, cut, element, title if first else "", voxel_size_m, note=note, bar=first)
        note = ""
