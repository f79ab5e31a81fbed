"""HyperSpy's own file layout (HDF5, version 3.3), written without HyperSpy, which is GPL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from cryoctl.runfile.h5 import H5Dataset, H5Group, create_h5


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A uniform axis; `navigate` is False for what the signal itself lies along."""

    name: str
    size: int
    scale: float = 1.0
    offset: float = 0.0
    units: str = "_None_"
    navigate: bool = False


class HspyFile:
    """A new `.hspy` file with one signal; a context manager that yields the dataset to fill."""

    def __init__(
        self, path: Path, axes: Sequence[Axis], dtype: str, metadata: Mapping[str, Any], chunks: Sequence[int]
    ) -> None:
        self._root = create_h5(path)
        title = str(metadata["General"]["title"]).replace("/", "-") or "__unnamed__"
        self._root.set_attrs(file_format="HyperSpy", file_format_version="3.3")
        experiment = self._root.group("Experiments").group(title)
        experiment.set_attrs(package="hyperspy", package_version="2.1")
        experiment.group("attributes", _lazy=False, ragged=False)
        for index, axis in enumerate(axes):
            experiment.group(
                f"axis-{index}",
                _type="UniformDataAxis",
                is_binned=False,
                name=axis.name,
                navigate=axis.navigate,
                offset=axis.offset,
                scale=axis.scale,
                size=axis.size,
                units=axis.units,
            )
        experiment.group("learning_results")
        experiment.group("original_metadata")
        _put(experiment.group("metadata"), metadata)
        self.data = experiment.create("data", [axis.size for axis in axes], dtype, chunks=chunks)

    def __enter__(self) -> H5Dataset:
        return self.data

    def __exit__(self, *_: object) -> None:
        self._root.close()


def _put(group: H5Group, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            _put(group.group(key), cast(Mapping[str, Any], value))
        elif isinstance(value, np.ndarray):
            group.write(key, value)
        elif isinstance(value, list):
            group.write(f"_list_{key}", cast(list[Any], value))
        else:
            group.set_attrs(**{key: value})
