"""HDF5, the little of it that cryoctl uses, with types. The only module that imports h5py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from cryoctl.errors import FileProblem
from cryoctl.runfile.cut_file import CutFile
from cryoctl.runfile.steady_file import SteadyFile

Array = npt.NDArray[Any]
_TEXT = h5py.string_dtype()
_H5O: Any = vars(h5py)["h5o"]  # of which h5py's types do not know


class Piece(NamedTuple):
    """Stored bytes of a dataset: of a chunk (its first element, its filter mask) or of the whole (no element)."""

    first: tuple[int, ...]
    mask: int
    offset: int
    bytes: int


class Stored(NamedTuple):
    """How a dataset lies in its file; where there are no `pieces` its `values` stand for it.

    `kind` tells type, shape and layout.
    """

    kind: str
    pieces: list[Piece]
    values: bytes


class H5Dataset:
    """One dataset; slicing reads or writes the part."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.raw.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.raw.dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        return self.raw.chunks

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[()], dtype=dtype)

    def __getitem__(self, part: Any) -> Any:
        """Arrays of texts come as object arrays of str, a scalar text as str."""
        if h5py.check_string_dtype(self.raw.dtype) is not None:
            return self.raw.asstr()[part]
        return self.raw[part]

    def __setitem__(self, part: Any, value: Any) -> None:
        self.raw[part] = value

    def write_deflated(self, offset: tuple[int, ...], data: bytes) -> None:
        """Put one chunk that was compressed already."""
        self.raw.id.write_direct_chunk(offset, data)

    def stored(self) -> Stored:
        """Where its bytes are; texts, which lie apart from it, and what is empty or compact come by their values."""
        raw = self.raw.id
        layout = raw.get_create_plist().get_layout()
        text = raw.get_type().get_class() == h5py.h5t.STRING
        kind = f"{'text' if text else raw.dtype.str} {raw.shape} {layout}"
        pieces: list[Piece] = []
        if not text and layout == h5py.h5d.CONTIGUOUS and raw.get_offset() is not None:
            pieces.append(Piece((), 0, int(raw.get_offset()), int(raw.get_storage_size())))
        elif not text and layout == h5py.h5d.CHUNKED and raw.get_storage_size():
            chunks: list[Any] = []
            raw.chunk_iter(chunks.append)
            pieces = sorted(Piece(tuple(one[0]), int(one[1]), int(one[2]), int(one[3])) for one in chunks)
        return Stored(kind, pieces, b"" if pieces else _packed(raw, h5py.h5s.ALL, h5py.h5s.ALL))

    def attr(self, name: str, default: Any = None) -> Any:
        return _plain(self.raw.attrs.get(name, default))

    def set_attrs(self, **attrs: Any) -> None:
        _set_attrs(self.raw, attrs)


class H5Group:
    """A group, or a file (which is its root group and a context manager)."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    def path(self) -> str:
        return self.raw.name

    def __enter__(self) -> H5Group:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if isinstance(self.raw, h5py.File):
            self.raw.close()

    def flush(self) -> None:
        self.raw.file.flush()

    def __contains__(self, path: str) -> bool:
        return path in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.raw.keys()))

    def __getitem__(self, path: str) -> H5Group | H5Dataset:
        item = self.raw[path]
        return H5Group(item) if isinstance(item, h5py.Group) else H5Dataset(item)

    def member(self, name: str) -> H5Group | H5Dataset:
        """As by brackets, of a name without slashes: in half the time, for those who visit everything."""
        item = _H5O.open(self.raw.id, name.encode())
        return H5Group(h5py.Group(item)) if isinstance(item, h5py.h5g.GroupID) else H5Dataset(h5py.Dataset(item))

    def is_group(self, path: str) -> bool:
        return path in self.raw and isinstance(self.raw[path], h5py.Group)

    def group(self, path: str, nx_class: str = "", **attrs: Any) -> H5Group:
        """The group at `path`, made where it is missing; attributes are set on it."""
        group = H5Group(self.raw.require_group(path))
        if nx_class:
            attrs = {"NX_class": nx_class, **attrs}
        group.set_attrs(**attrs)
        return group

    def dataset(self, path: str) -> H5Dataset:
        return H5Dataset(self.raw[path])

    def value(self, path: str) -> Any:
        """The whole of a dataset: numpy array, str or Python number."""
        value = self.dataset(path)[()]
        return value.item() if isinstance(value, np.generic) else value

    def write(self, name: str, value: Any, **attrs: Any) -> H5Dataset:
        """Create a dataset of an array, a number, a text or a list of texts; large arrays are compressed."""
        if isinstance(value, str):
            raw = self.raw.create_dataset(name, data=value, dtype=_TEXT)
        else:
            array = np.asarray(value)
            if array.dtype.kind in "OU" or (array.size == 0 and _lists_text(value)):
                raw = self.raw.create_dataset(name, data=array.astype(object), dtype=_TEXT, shape=array.shape)
            elif array.nbytes > 65536 and array.ndim:
                options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
                raw = self.raw.create_dataset(name, data=array, chunks=_chunks(array), **options)
            else:
                raw = self.raw.create_dataset(name, data=array)
        _set_attrs(raw, attrs)
        return H5Dataset(raw)

    def create(
        self,
        name: str,
        shape: Sequence[int],
        dtype: npt.DTypeLike,
        *,
        chunks: Sequence[int],
        shuffle: bool = True,
        **attrs: Any,
    ) -> H5Dataset:
        """An empty compressed dataset to be filled by slices or by `write_deflated` (then without shuffle)."""
        empty = 0 in shape
        raw = self.raw.create_dataset(
            name,
            shape=tuple(shape),
            dtype=dtype,
            chunks=None if empty else tuple(chunks),
            compression=None if empty else "gzip",
            compression_opts=None if empty else 1,
            shuffle=shuffle and not empty,
        )
        _set_attrs(raw, attrs)
        return H5Dataset(raw)

    def copy(self, name: str, source: H5Dataset) -> H5Dataset:
        """A dataset of another file with everything that it holds."""
        self.raw.file.copy(source.raw, self.raw, name=name)
        return H5Dataset(self.raw[name])

    def create_like(self, name: str, source: H5Dataset) -> H5Dataset:
        """An empty dataset, stored as one of another file is."""
        old = source.raw.id
        h5py.h5d.create(self.raw.id, name.encode(), old.get_type(), old.get_space(), old.get_create_plist())
        return H5Dataset(self.raw[name])

    def link(self, name: str, target: str) -> None:
        """A hard link to a dataset or group of the same file."""
        self.raw[name] = self.raw.file[target]

    def delete(self, name: str) -> None:
        del self.raw[name]

    def attr(self, name: str, default: Any = None) -> Any:
        return _plain(self.raw.attrs.get(name, default))

    def set_attrs(self, **attrs: Any) -> None:
        _set_attrs(self.raw, attrs)


def stored_attributes(node: H5Group | H5Dataset) -> list[tuple[str, str, bytes]]:
    """Name, type and shape, value of each attribute, by name."""
    found: list[tuple[str, str, bytes]] = []
    for index in range(h5py.h5a.get_num_attrs(node.raw.id)):
        one = h5py.h5a.open(node.raw.id, index=index)
        text = one.get_type().get_class() == h5py.h5t.STRING
        found.append((one.name.decode(), f"{'text' if text else one.dtype.str} {one.shape}", _packed(one)))
    return sorted(found)


def copy_attributes(source: H5Group | H5Dataset, target: H5Group | H5Dataset) -> None:
    """Those that `target` does not have yet."""
    for name in source.raw.attrs:
        if name not in target.raw.attrs:
            target.raw.attrs[name] = source.raw.attrs[name]


def address_of(node: H5Group | H5Dataset) -> int:
    """Where an object lies: equal for two names (hard links) of one object."""
    return int(_H5O.get_info(node.raw.id).addr)


def open_h5(path: Path) -> H5Group:
    """Open a file to read it.

    Raises:
        FileProblem: absent, a folder, or no whole HDF5 file.
    """
    if path.is_dir():
        raise FileProblem(f"{path} is a folder: name a run file (*.nxs)")
    if not path.exists():
        raise FileProblem(f"{path} does not exist: name a run file (*.nxs)")
    try:
        try:
            return H5Group(h5py.File(path, "r"))
        except BlockingIOError:
            return H5Group(h5py.File(path, "r", locking=False))
    except OSError as error:
        what = "is truncated" if "truncated" in str(error) else "is no HDF5 file or is damaged"
        raise FileProblem(f"{path} {what}: name a whole run file") from error


def open_cut_h5(file: CutFile) -> H5Group:
    """Open what is left of a file; raises `OSError` where that is too little."""
    return H5Group(h5py.File(file, "r"))


class H5NewFile(H5Group):
    """A file that is written; the first write that failed is raised when it is closed, whatever came after."""

    def __init__(self, path: Path, mode: str, mode_of_h5py: str) -> None:
        self._steady = SteadyFile(path, mode)
        try:
            super().__init__(h5py.File(self._steady, mode_of_h5py, track_order=False))
        except BaseException:
            self._steady.close()
            raise

    def close(self) -> None:
        """May be called twice.

        Raises:
            OSError: disk full, or a write failed.
        """
        try:
            super().close()
        finally:
            self._steady.close()
            if self._steady.error is not None:
                raise self._steady.error


def create_h5(path: Path) -> H5Group:
    """A new file, over any of that name."""
    return H5NewFile(path, "wb+", "w")


def memory_h5(scratch: Path | None = None) -> H5Group:
    """A new file in memory, or at `scratch` where it is too large for that."""
    if scratch is not None:
        return create_h5(scratch)
    return H5Group(h5py.File("memory", "w", driver="core", backing_store=False))


def change_h5(path: Path) -> H5Group:
    """Open an existing file to add to it."""
    return H5NewFile(path, "rb+", "r+")


def create_segment(path: Path, shape: tuple[int, int, int, int]) -> int:
    """A file with one contiguous uint16 dataset `frames`, its space laid out but not written; returns its offset."""
    with H5NewFile(path, "xb+", "w") as new:
        file = new.raw
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.CONTIGUOUS)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(shape)
        dataset = h5py.h5d.create(file.id, b"frames", h5py.h5t.STD_U16LE, space, properties)
        # Its space is laid out at the first write: behind everything else, so that a cut takes frames only.
        space.select_hyperslab((0, 0, 0, 0), (1, 1, 1, 1))
        dataset.write(h5py.h5s.create_simple((1,)), space, np.zeros(1, np.uint16))
        return int(dataset.get_offset())


def segment_layout(path: Path) -> tuple[tuple[int, int, int, int], int]:
    """Shape [slots, scans, y, x] and offset in bytes of a segment's frames, also of one that was cut."""
    with CutFile(path) as cut, h5py.File(cut, "r") as file:
        dataset: Any = file["frames"]
        return tuple(dataset.shape), int(dataset.id.get_offset())


def _chunks(array: Array) -> tuple[int, ...]:
    """Along the first axis as many as make about 1 MiB."""
    if array.ndim == 1:
        return (min(array.size, max(1, (1 << 20) // array.itemsize)),)
    row = max(1, array[0].nbytes)
    return (max(1, min(len(array), (1 << 20) // row)), *array.shape[1:])


def _packed(raw: Any, *spaces: Any) -> bytes:
    """All values of a dataset or an attribute; texts with their lengths before them."""
    if 0 in raw.shape:
        return b""
    values = np.empty(raw.shape, dtype=raw.dtype)
    raw.read(*spaces, values)
    if values.dtype.kind != "O":
        return values.tobytes()
    texts: list[Any] = values.ravel().tolist()
    return b"".join(b"%d:%s" % (len(one), one) for one in texts)


def _lists_text(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return [_plain(item) for item in value.tolist()]
    return value


def _set_attrs(raw: Any, attrs: dict[str, Any]) -> None:
    for name, value in attrs.items():
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], str):
            raw.attrs.create(name, np.array(value, dtype=object), dtype=_TEXT)
        else:
            raw.attrs[name] = value
