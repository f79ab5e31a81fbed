"""Two run files compared in contract.md's sense: every dataset but the named ones, shape, type and value."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_MAY_DIFFER = ("start_time", "end_time", "utc", "software", "wall_*")


def differences(one: Path, other: Path) -> list[str]:
    """Paths of datasets that differ or that only one file has, and of attributes likewise."""
    with h5py.File(one) as a, h5py.File(other) as b:
        datasets_a, datasets_b = _datasets(a), _datasets(b)
        found = [f"only in one file: {path}" for path in sorted(set(datasets_a) ^ set(datasets_b))]
        for path in sorted(set(datasets_a) & set(datasets_b)):
            if not _same(datasets_a[path][()], datasets_b[path][()]):
                found.append(path)
            if datasets_a[path].dtype != datasets_b[path].dtype:
                found.append(f"{path}: type")
            attributes_a, attributes_b = dict(datasets_a[path].attrs), dict(datasets_b[path].attrs)
            if {*attributes_a} != {*attributes_b} or any(
                not _same(attributes_a[name], attributes_b[name]) for name in attributes_a
            ):
                found.append(f"{path}: attributes")
    return found


def count(path: Path) -> int:
    with h5py.File(path) as file:
        return len(_datasets(file))


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and not any(
            fnmatch.fnmatch(part, pattern) for part in name.split("/") for pattern in _MAY_DIFFER
        ):
            found[name] = node

    file.visititems(visit)
    return found


def _same(one: Any, other: Any) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return False
    floats = a.dtype.kind in "fc" and b.dtype.kind in "fc"
    return bool(np.array_equal(a, b, equal_nan=floats))
