"""What can still be read of a packed run file that was cut or damaged, copied into a new one.

The file is read as if it were as long as it says: a dataset is copied where it is as its checksum says (without the
table of checksums: where all its bytes are there), of pictures and spectra every chunk that is whole; the rest is 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.errors import FileProblem
from cryoctl.runfile.cut_file import CutFile
from cryoctl.runfile.h5 import H5Dataset, H5Group, Piece, address_of, copy_attributes, create_h5, open_cut_h5
from cryoctl.runfile.integrity import PLACE, add_table, digest_of, read_table
from cryoctl.runfile.raw_io import open_file
from cryoctl.runfile.remains import Losses
from cryoctl.runfile.tree import put
from cryoctl.runfile.writer import published_when_whole

_FRAMES = ("/image/data/data", "/image/scans")
_EVENT_COLUMNS = 4
_BY_FRAME = ("/image/", "/search/", "/focus/", "/track/", "/edx/")
"""Where a part is worth something; half a ledger would be less than what the specimen received."""


def salvage(path: Path, place: Path, losses: Losses, told: Callable[[], Mapping[str, Any]]) -> None:
    """Write what is left of `path` to the new file `place`.

    Args:
        losses: is told what was lost.
        told: gives the content of /entry/recovered once that is known.

    Raises:
        FileProblem: nothing can be read.
        OSError: disk full; nothing was written.
    """
    fd = open_file(path)
    try:
        with CutFile(path) as cut:
            try:
                source = open_cut_h5(cut)
                source.attr("NX_class")
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                raise FileProblem(f"{path} can't be read at all and its .parts folder is gone: use a copy") from error
            with source, published_when_whole(place) as scratch:
                with create_h5(scratch) as target:
                    rescue = _Rescue(source, target, cut, fd, losses)
                    rescue.all()
                    if not rescue.copied:
                        raise FileProblem(f"{path}: nothing in it is whole and its .parts folder is gone: use a copy")
                    put(target, "entry/recovered", told())
                add_table(scratch, ())
    finally:
        os.close(fd)


class _Rescue:
    def __init__(self, source: H5Group, target: H5Group, cut: CutFile, fd: int, losses: Losses) -> None:
        self._source, self._target, self._cut, self._fd = source, target, cut, fd
        self._losses = losses
        self._made: dict[int, str] = {}
        self._lost_frames: set[int] = set()
        self._lost_cubes: set[int] = set()
        self._whole_events = 0
        self.copied = 0
        try:
            table = read_table(source)
        except Exception:  # it lay in the cut
            table = None
        self._sha256 = table.sha256 if table is not None and not table.broken else {}

    def all(self) -> None:
        if self._cut.missing_bytes:
            self._losses.add(f"{self._cut.missing_bytes} bytes were cut from the file", self._cut.missing_bytes)
        if not self._sha256:
            self._losses.add("the table of checksums is lost: what is there was taken as it is")
        copy_attributes(self._source, self._target)
        self._group(self._source, "")
        for place in sorted(set(self._sha256) - set(self._made.values()) - {"/"}):
            if place not in self._target:
                self._losses.add(f"{place} is lost")
        if self._whole_events < _EVENT_COLUMNS:  # else a spectrum image can be made anew
            self._lost_frames |= self._lost_cubes
        self._losses.frames += len(self._lost_frames)

    def _group(self, group: H5Group, above: str) -> None:
        try:
            names = list(group)
        except Exception as error:
            self._losses.add(f"{above or '/'}: its members can't be told ({type(error).__name__})")
            return
        for name in names:
            place = f"{above}/{name}"
            if place == f"/{PLACE}":
                continue
            try:
                self._member(group[name], place)
            except Exception as error:  # whatever HDF5 makes of what is not there
                if place not in self._sha256:
                    self._losses.add(f"{place} is lost ({type(error).__name__})")

    def _member(self, node: H5Group | H5Dataset, place: str) -> None:
        address = address_of(node)
        if address in self._made:
            self._target.link(place, self._made[address])
            return
        if isinstance(node, H5Group):
            self._made[address] = place
            copy_attributes(node, self._target.group(place))
            self._group(node, place)
            return
        above, _, name = place.rpartition("/")
        group = self._target.group(above) if above else self._target
        if self._is_whole(node, place):
            group.copy(name, node)
            self._whole_events += place.startswith("/edx/events/")
        else:
            self._chunks(node, group, name, place)
        self._made[address] = place
        self.copied += 1

    def _is_whole(self, node: H5Dataset, place: str) -> bool:
        if place in self._sha256:
            return digest_of(node, self._fd) == self._sha256[place]
        return all(self._is_there(piece) for piece in node.stored().pieces)

    def _is_there(self, piece: Piece) -> bool:
        return piece.offset + piece.bytes <= self._cut.kept_bytes

    def _chunks(self, node: H5Dataset, group: H5Group, name: str, place: str) -> None:
        """Raises where not one chunk is whole: each has a checksum of its own, which zlib looks at."""
        if not node.chunks or not place.startswith(_BY_FRAME):
            raise ValueError("not whole")
        new: H5Dataset | None = None
        lost = 0
        firsts = list(product(*(range(0, size, step) for size, step in zip(node.shape, node.chunks, strict=True))))
        for first in firsts:
            part = tuple(slice(begin, begin + size) for begin, size in zip(first, node.chunks, strict=True))
            try:
                values = np.asarray(node[part])
            except Exception:  # it lay in the cut, or what says where it is
                lost += 1
                if place in _FRAMES:
                    self._lost_frames.add(first[0])
                if place == "/edx/data/data":
                    self._lost_cubes.add(first[0])
                continue
            new = new or group.create_like(name, node)
            new[part] = values
        if new is None:
            raise ValueError("no chunk is whole")
        copy_attributes(node, new)
        self._losses.add(f"{place}: {lost} of {len(firsts)} chunks are lost and 0 now")
