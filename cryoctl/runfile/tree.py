"""Writes plain values under paths of a file: groups classed by where they stand, units by the suffix of a name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from cryoctl.runfile.h5 import H5Group

_UNITS = {
    "_e_per_a2": "1/angstrom^2",
    "_e_per_a2_s": "1/(angstrom^2 s)",
    "_m_per_s": "m/s",
    "_per_m": "1/m",
    "_per_m2": "1/m^2",
    "_per_m3": "1/m^3",
    "_per_s": "1/s",
    "_per_sr": "1/sr",
    "_m2": "m^2",
    "_m3": "m^3",
    "_px": "px",
    "_deg": "deg",
    "_ev": "eV",
    "_pa": "Pa",
    "_m": "m",
    "_s": "s",
    "_a": "A",
    "_v": "V",
    "_k": "K",
    "_c": "C",
}

_UNIT_OF_MEMBERS = {
    "entry/planned": "1/angstrom^2",
    "simulation/dose_by_kind": "1/angstrom^2",
    "simulation/composition": "1/m^3",
    "simulation/composition_final": "1/m^3",
}
"""Groups whose members are named by kind or element and can't tell their unit."""

_CLASSES = {"results": ("NXentry", "NXprocess"), "reconstruction": ("NXentry", "NXprocess"), "simulation": ("NXentry",)}
"""By the first part of a path, the classes of the groups along it; deeper ones are NXcollection."""


def unit_of(name: str) -> str:
    """Unit that the suffix of a name tells, empty where there is none."""
    stem = name
    for ending in ("_sigma", "_low", "_high", "_max", "_min", "_final"):
        stem = stem.removesuffix(ending)
    for suffix in sorted(_UNITS, key=len, reverse=True):
        if stem.endswith(suffix):
            return _UNITS[suffix]
    return ""


def put(root: H5Group, path: str, value: Any) -> None:
    """Write a value at `path` below the root group: array, number, text, list, or a mapping of such; None is left out.

    Lists that make no array are kept as JSON text.
    """
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value)
        make_groups(root, path)
        for key in items:
            put(root, f"{path}/{key}", items[key])
        return
    if value is None:
        return
    parts = path.strip("/").split("/")
    parent = make_groups(root, "/".join(parts[:-1])) if len(parts) > 1 else root
    name = parts[-1]
    unit = unit_of(name) or _UNIT_OF_MEMBERS.get("/".join(parts[:-1]), "")
    if name in parent:
        parent.delete(name)
    stored = _storable(value)
    parent.write(name, stored, **({"units": unit} if unit and not isinstance(stored, str) else {}))


def nexus_name(text: str) -> str:
    """A path whose parts NeXus takes for names: letters, digits, `_` and `.`; anything else becomes `_`."""
    return re.sub(r"[^A-Za-z0-9_./]", "_", text)


def make_groups(root: H5Group, path: str) -> H5Group:
    """The group at `path`, those along it made and classed where they are missing."""
    parts = path.strip("/").split("/")
    classes = _CLASSES.get(parts[0], ())
    group = root
    for depth, part in enumerate(parts):
        if part in group:
            group = group.group(part)
        else:
            group = group.group(part, classes[depth] if depth < len(classes) else "NXcollection")
    return group


def _storable(value: Any) -> Any:
    if isinstance(value, (str, bool, int, float, np.ndarray, np.generic)):
        return value
    if isinstance(value, Sequence):
        items = cast(Sequence[Any], value)
        if not items:
            return np.zeros(0)
        if all(isinstance(item, str) for item in items):
            return list(items)
        plain_items = [float("nan") if item is None else item for item in items]
        try:
            array = np.array(plain_items)
        except ValueError:
            return json.dumps(items)
        return array if array.dtype.kind in "bif" else json.dumps(items, default=float)
    return json.dumps(value)
