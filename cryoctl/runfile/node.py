"""A group of a run file as a Python object: members as attributes or items, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from cryoctl.runfile.h5 import H5Dataset, H5Group


class Node:
    """Mirrors a group. Texts and numbers come as such, arrays of up to two dimensions as arrays.

    Larger ones stay in the file: slice them, or take the whole by `np.asarray`.
    """

    def __init__(self, group: H5Group) -> None:
        self._group = group

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._group:
            found = ", ".join(self._group) or "nothing"
            raise AttributeError(f"{self._group.path} holds no {name!r}; it holds {found}")
        return self._member(name)

    def __getitem__(self, name: str) -> Any:
        if name not in self._group:
            raise KeyError(f"{self._group.path} holds no {name!r}; it holds {', '.join(self._group) or 'nothing'}")
        return self._member(name)

    def __contains__(self, name: str) -> bool:
        return name in self._group

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def __len__(self) -> int:
        return len(list(self._group))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._group]

    def __repr__(self) -> str:
        return f"<{self._group.path}: {', '.join(self._group)}>"

    def keys(self) -> list[str]:
        """Names of the members."""
        return list(self._group)

    def attr_of(self, name: str, attribute: str, default: Any = None) -> Any:
        """An attribute of the member group `name`."""
        return self._group.group(name).attr(attribute, default)

    def to_dict(self) -> dict[str, Any]:
        """Everything below as plain Python values: arrays as lists, groups as dicts."""
        return {name: _as_plain(self[name]) for name in self._group}

    def _member(self, name: str) -> Any:
        item = self._group[name]
        if isinstance(item, H5Group):
            return Node(item)
        if len(item.shape) > 2:
            return item
        value = item[()]
        if isinstance(value, np.ndarray) and value.dtype.kind == "O":
            return cast(list[Any], value.tolist())
        return value.item() if isinstance(value, np.generic) else value


def _as_plain(value: Any) -> Any:
    if isinstance(value, Node):
        return value.to_dict()
    if isinstance(value, H5Dataset):
        value = value[()]
    return value.tolist() if isinstance(value, np.ndarray) else value
