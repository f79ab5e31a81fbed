"""Reconstructions into a run file or a file of their own, and volumes out of files, ours and others'."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.reconstruct import Volumes, Wanted, check_wanted, reconstruct_recording, tree_of
from cryoctl.launch.tilt_recording import elements_of, read_recording
from cryoctl.runfile.h5 import H5Dataset, H5Group, create_h5, open_h5
from cryoctl.runfile.reader import open_run
from cryoctl.runfile.reconstructions import names_newest_first
from cryoctl.runfile.tree import put
from cryoctl.runfile.writer import add_reconstruction

Volume = npt.NDArray[np.float32]
RESERVED = ("live", "alignment")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """`path` holds the group /reconstruction/`name`."""

    volumes: Volumes
    name: str
    path: Path


def reconstruct_run(
    run_file: Path,
    wanted: Wanted,
    *,
    name: str = "",
    target: str = "",
    out: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Written:
    """Reconstruct from a run file and keep the result there or in `out`; an element done before is replaced.

    Raises:
        BadInput: see `check_wanted`; an unfinished run without `out`; a name that the run keeps for itself.
        FileProblem: a file that can't be read or written.
    """
    name = name or wanted.algorithm
    if name in RESERVED:
        raise BadInput(f"--name: {name!r} is kept for the run itself; choose another")
    if not _NAME.fullmatch(name):
        raise BadInput(f"--name: found {name[:40]!r}, allowed are letters, digits and _ . + -; choose another")
    if out is not None and (out.exists() or not out.absolute().parent.is_dir()):
        why = "is there already" if out.exists() else "lies in a folder that does not exist"
        raise FileProblem(f"--out {out}: {why}; choose another name")
    with open_run(run_file) as run:
        check_wanted(wanted, elements_of(run))
        if out is None and not run.packed:
            raise BadInput(f"{run_file}: this run is not finished; give --out FILE, or wait for its end")
        path = run.path
        _check_writable(path if out is None else out)
        recording = read_recording(run, target)
    done = reconstruct_recording(recording, wanted, tell)
    if out is None:
        try:
            add_reconstruction(path, name, tree_of(done))
        except OSError as problem:
            raise FileProblem(f"{path}: can't be written ({problem.strerror or problem}); give --out FILE") from problem
        return Written(volumes=done, name=name, path=path)
    scratch = out.with_name(f".{out.name}.new")
    try:
        with create_h5(scratch) as root:
            root.set_attrs(NX_class="NXroot", creator="cryoctl", default="reconstruction")
            put(root, f"reconstruction/{name}", tree_of(done))
        os.replace(scratch, out)
    except OSError as problem:
        raise FileProblem(f"--out {out}: can't be written ({problem.strerror or problem})") from problem
    finally:
        scratch.unlink(missing_ok=True)
    return Written(volumes=done, name=name, path=out)


def _check_writable(file: Path) -> None:
    """Raises `FileProblem` before anything is reconstructed; the file is made anew beside its place."""
    folder = file.absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK) or (file.exists() and not os.access(file, os.W_OK)):
        raise FileProblem(f"{file}: can't be written here; give --out FILE in a folder that you may write to")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NamedVolume:
    """One volume [z, y, x] out of a file, or a pair of half-data volumes [2, z, y, x]."""

    name: str
    data: Volume
    voxel_size_m: float


def volumes_of_run(run_file: Path, name: str = "") -> dict[str, NamedVolume]:
    """Volumes of one reconstruction of a run file (or of `reconstruct --out`): the named one, else the last, else live.

    Raises:
        BadInput: there is no such reconstruction.
    """
    with open_h5(run_file) as root:
        found = names_newest_first(root.group("reconstruction")) if "reconstruction" in root else []
        with_volumes = [key for key in found if _elements(root, key)]
        if not with_volumes or (name and name not in with_volumes):
            has = ", ".join(with_volumes) or "none"
            raise BadInput(f"{run_file.name}: no reconstruction {name or 'at all'}; it has {has}; reconstruct first")
        chosen = name or with_volumes[0]
        volumes: dict[str, NamedVolume] = {}
        for element in _elements(root, chosen):
            base = f"reconstruction/{chosen}/{element}"
            volumes[element] = NamedVolume(
                name=f"{chosen}/{element}",
                data=np.asarray(root.dataset(f"{base}/volume")[()], dtype=np.float32),
                voxel_size_m=float(root.value(f"{base}/voxel_size_m")),
            )
        return volumes


def _elements(root: H5Group, name: str) -> list[str]:
    group = root.group(f"reconstruction/{name}")
    return [key for key in group if f"{key}/volume" in group]


def is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def read_stack(path: Path, pixel_size_m: float | None, dataset: str = "") -> NamedVolume:
    """A volume that is not ours: .npy, .tif, .mrc (mode 0, 1, 2, 6), or of an HDF5 file the array `dataset`, else its
    largest.

    Raises:
        FileProblem: absent, or of another kind.
        BadInput: no pixel size is known.
    """
    if not path.exists():
        raise FileProblem(f"{path} does not exist: give a run file, .npy, .tif, .mrc or HDF5")
    if path.is_dir():
        raise FileProblem(f"{path} is a folder: give a file")
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            data, own = np.load(path, allow_pickle=False), None
        elif suffix in (".tif", ".tiff"):
            from skimage.io import imread

            data, own = np.asarray(imread(path)), None
        elif suffix in (".mrc", ".rec", ".map"):
            data, own = _read_mrc(path)
        elif is_hdf5(path):
            data, own = _largest(path, dataset), None
        else:
            raise FileProblem(f"{path}: its kind is not known; give a run file, .npy, .tif, .mrc or HDF5")
    except (OSError, ValueError, EOFError) as problem:
        raise FileProblem(f"{path}: can't be read ({str(problem)[:80]}); give a whole file") from problem
    size = pixel_size_m if pixel_size_m is not None else own
    if size is None:
        raise BadInput(f"--pixel-size: {path.name} does not tell it; give one, like 10nm")
    return NamedVolume(name=path.name, data=np.asarray(data, dtype=np.float32), voxel_size_m=size)


_MRC_TYPES: Mapping[int, str] = {0: "i1", 1: "i2", 2: "f4", 6: "u2"}


def _read_mrc(path: Path) -> tuple[npt.NDArray[Any], float | None]:
    """Data [z, y, x] and voxel size of an MRC2014 file (Cheng et al., J. Struct. Biol. 192 (2015) 146)."""
    raw = path.read_bytes()
    if len(raw) < 1024:
        raise ValueError("shorter than an MRC header")
    order = ">" if raw[212:214] == b"\x11\x11" else "<"
    nx, ny, nz, mode = (int(n) for n in np.frombuffer(raw, f"{order}i4", 4))
    if mode not in _MRC_TYPES or min(nx, ny, nz) < 1:
        raise ValueError(f"MRC mode {mode}, of {nx} x {ny} x {nz}")
    extended = int(np.frombuffer(raw, f"{order}i4", 1, 92)[0])
    data = np.frombuffer(raw, f"{order}{_MRC_TYPES[mode]}", nx * ny * nz, 1024 + extended).reshape(nz, ny, nx)
    cell_a = float(np.frombuffer(raw, f"{order}f4", 1, 40)[0])
    return data, cell_a * 1e-10 / nx if cell_a > 0 else None


def _largest(path: Path, dataset: str) -> npt.NDArray[Any]:
    """The array `dataset` of the file's top, else the largest of three or four dimensions."""
    best: H5Dataset | None = None
    with open_h5(path) as root:
        if dataset and dataset in root and isinstance(root[dataset], H5Dataset):
            return cast("npt.NDArray[Any]", root.dataset(dataset)[()])
        waiting: list[H5Group] = [root]
        while waiting:
            group = waiting.pop()
            for key in group:
                item = group[key]
                if isinstance(item, H5Group):
                    waiting.append(item)
                elif len(item.shape) in (3, 4) and (best is None or np.prod(item.shape) > np.prod(best.shape)):
                    best = item
        if best is None:
            raise ValueError("no array of three dimensions in it")
        return cast("npt.NDArray[Any]", best[()])
