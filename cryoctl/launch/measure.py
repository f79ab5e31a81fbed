"""`measure`: elongation and Fourier shell correlation of volumes, ours and others'."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from cryoctl.analysis.elongation import elongation
from cryoctl.analysis.fsc import fourier_shell_correlation
from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.aligned_series import HAADF
from cryoctl.launch.reconstruct import Wanted, reconstruct_recording
from cryoctl.launch.tilt_recording import read_recording
from cryoctl.launch.volume_files import is_hdf5, read_stack, volumes_of_run
from cryoctl.reconstruction.methods import ALGORITHMS
from cryoctl.runfile.h5 import open_h5
from cryoctl.runfile.node import Node
from cryoctl.runfile.reader import open_run
from cryoctl.runfile.reconstructions import names_newest_first

Tell = Callable[[str], None]


def measure_elongation(path: Path, *, name: str = "", pixel_size_m: float | None = None) -> dict[str, Any]:
    """Width along the beam over width across, by element of a run's reconstruction, or of one volume.

    Raises:
        BadInput: there is no volume, or nothing in any of them can be measured.
    """
    volumes = volumes_of_run(path, name) if is_run(path) else None
    if volumes is None:
        stack = read_stack(path, pixel_size_m)
        if stack.data.ndim != 3:
            raise BadInput(f"{path.name}: shape {stack.data.shape}; a volume [z, y, x] is needed")
        volumes = {path.stem: stack}
    measured: dict[str, Any] = {}
    shortfalls: dict[str, str] = {}
    for element, volume in volumes.items():
        try:
            size = pixel_size_m if pixel_size_m is not None else volume.voxel_size_m
            measured[element] = dataclasses.asdict(elongation(volume.data, size)) | {"volume": volume.name}
        except BadInput as problem:
            shortfalls[element] = problem.message
    if not measured:
        raise BadInput(next(iter(shortfalls.values()), f"{path.name}: holds no volume"))
    return {"elongation": measured, "shortfalls": shortfalls}


def measure_fsc(
    path: Path, *, name: str = "", pixel_size_m: float | None = None, tell: Tell = lambda text: None
) -> dict[str, Any]:
    """Fourier shell correlation of half data.

    Of a run as `reconstruct` kept it, else anew by halves of its scan frames; of a stack [2, z, y, x], its two volumes.

    Raises:
        BadInput: there are no halves.
    """
    if not is_run(path):
        stack = read_stack(path, pixel_size_m)
        if stack.data.ndim != 4 or stack.data.shape[0] != 2:
            raise BadInput(f"{path.name}: shape {stack.data.shape}; two half-data volumes [2, z, y, x] are needed")
        first, second = stack.data
        correlation = fourier_shell_correlation(first, second, stack.voxel_size_m)
        return {"fsc": {path.stem: dataclasses.asdict(correlation)}, "shortfalls": {}}
    kept = _kept_fsc(path, name)
    if kept:
        return {"fsc": kept, "shortfalls": {}}
    algorithm = name if name in ALGORITHMS else "mlem"
    with open_run(path) as run:
        recording = read_recording(run)
    elements = (*recording.energy.elements, HAADF) if recording.energy is not None else (HAADF,)
    done = reconstruct_recording(recording, Wanted(elements=elements, algorithm=algorithm), tell)
    found = {
        element: dataclasses.asdict(one.shells) | {"algorithm": algorithm}
        for element, one in done.elements.items()
        if one.shells is not None
    }
    short = {element: "; ".join(one.shortfalls) for element, one in done.elements.items() if one.shells is None}
    if not found:
        raise BadInput(next(iter(short.values()), f"{path.name}: has no halves to correlate"))
    return {"fsc": found, "shortfalls": short}


def _kept_fsc(path: Path, name: str) -> dict[str, Any]:
    """Curves by element that `reconstruct` left in the file, of the named reconstruction or the last made."""
    if path.suffix == ".parts" or not is_hdf5(path):
        return {}
    with open_h5(path) as root:
        if "reconstruction" not in root:
            return {}
        group = Node(root.group("reconstruction"))
        for chosen in (one for one in names_newest_first(group) if not name or one == name):
            elements = group[chosen]
            found = {
                element: elements[element].fsc.to_dict()
                for element in elements
                if isinstance(elements[element], Node) and "fsc" in elements[element]
            }
            if found:
                return found
    return {}


def is_run(path: Path) -> bool:
    """A run file of ours, a reconstruction of ours, or the parts of a run."""
    if path.suffix in (".nxs", ".parts"):
        return True
    if not is_hdf5(path):
        return False
    with open_h5(path) as root:
        return "entry/format_version" in root or "reconstruction" in root


def write_measured(path: Path, measured: Mapping[str, Any]) -> None:
    """As .json, or as .csv with a row a value (name, quantity, value).

    Raises:
        FileProblem: it is there already, or can't be written.
    """
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                table = csv.writer(file)
                table.writerow(("name", "quantity", "value"))
                for kind in ("elongation", "fsc", "area", "jv", "diffraction", "contact"):
                    for element, values in _by_name(kind, measured.get(kind) or {}).items():
                        table.writerows((element, quantity, value) for quantity, value in _rows("", values))
            else:
                json.dump(measured, file, indent=2, default=_listed)
                file.write("\n")
    except FileExistsError:
        raise FileProblem(f"--out {path}: is there already; choose another name") from None
    except OSError as problem:
        raise FileProblem(f"--out {path}: can't be written ({problem.strerror}); choose another place") from problem


def _by_name(kind: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """A mapping a name; columns of sweeps, and a contact, are one by themselves."""
    return {kind: found} if kind in ("jv", "contact") and found else found


def _rows(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _rows(f"{prefix}{key}.", cast("Mapping[str, Any]", value))
        elif isinstance(value, tuple | list):
            rows += [(f"{prefix}{key}[{i}]", one) for i, one in enumerate(cast("list[Any]", value))]
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
