"""Writes the run file: a skeleton when the run starts, the whole when it ends, reconstructions later.

Equal input gives equal datasets: nothing here knows the time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryoctl.errors import BadInput, FileProblem
from cryoctl.interfaces.medium import REAL_DISK, Medium
from cryoctl.runfile.edx_group import write_edx
from cryoctl.runfile.entry_group import write_entry, write_head
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.h5 import H5Group, change_h5, create_h5, open_h5
from cryoctl.runfile.integrity import PLACE, add_table, extend_table
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.runfile.picture_group import write_pictures
from cryoctl.runfile.raw_io import open_file, sync_folder
from cryoctl.runfile.reconstructions import names_newest_first, order_of
from cryoctl.runfile.seals import add_seal
from cryoctl.runfile.tree import make_groups, nexus_name, put

HYPERSPY_LAYOUT = "hyperspy_nexus_v3"
STREAMS = ("image", "track", "focus", "search")
"""Entries with pictures, those that show most first."""


def write_skeleton(path: Path, head: Mapping[str, Any]) -> None:
    """A valid file of a run that has just begun: /entry with its head, status running."""
    scratch = _scratch(path)
    with create_h5(scratch) as root:
        root.set_attrs(NX_class="NXroot", default="entry", file_writer=HYPERSPY_LAYOUT, creator="cryoctl")
        write_head(root, head, "running")
        root.group("entry/dose", "NXcollection")
    _publish(scratch, path)


def pack(
    path: Path,
    parts: Path,
    extras: Mapping[str, Any] | None = None,
    fold: RunFold | None = None,
    *,
    new: bool = False,
    medium: Medium = REAL_DISK,
) -> None:
    """Write the whole run file from its journal and segments, with its checksums, and rename it over `path`.

    Args:
        parts: the `.parts` folder; where it is the one of `path` the seal is kept there.
        extras: paths of the file (``edx/maps/Si``, ``reconstruction/live/Si/volume``, ``results/current/verdict``,
            ``simulation/drift_m``) to arrays, numbers, texts, lists or mappings of such.
        fold: of the journal where it was read already.
        new: never over a file.

    Raises:
        RunFileError: journal, segments and events do not agree; `path` is as it was.
        OSError: disk full; `path` is as it was. `FileExistsError` with `new`.
    """
    reader = PartsReader(RunParts(parts), fold)
    durable = reader.fold.head.get("durable") == "power"
    try:
        with published_when_whole(path, durable=durable, new=new) as scratch:
            with create_h5(scratch) as root:
                write_run(root, reader, extras or {})
            medium.admit(scratch.stat().st_size)
            seal = add_table(scratch, reader.fold.record_shas)
            if RunParts.beside(path).folder == parts:
                add_seal(reader.parts, seal, reader.fold)
    finally:
        reader.close()


def write_run(root: H5Group, reader: PartsReader, extras: Mapping[str, Any], *, dense: bool = True) -> None:
    """Everything of contract.md into an empty file; the spectrum image with `dense` and where the recipe wants it."""
    fold = reader.fold
    has_edx = bool(fold.head.get("edx")) and any(record.get("edx") for record in fold.frame_records("image"))
    dense = dense and has_edx and bool(fold.head["edx"].get("dense", True))
    _write_names(root, fold, has_edx)
    shown = ("edx",) * dense + STREAMS
    default = next((name for name in shown if name in root), "entry")
    root.set_attrs(NX_class="NXroot", file_writer=HYPERSPY_LAYOUT, creator="cryoctl", default=default)
    write_entry(root, fold, fold.dose_by_kind(), reader.prior_dose())
    for name in sorted(fold.conclusions):
        put(root, nexus_name(f"results/{name}"), fold.conclusions[name])
    for place in extras:
        put(root, nexus_name(place), extras[place])
    for stream in sorted(fold.frames):
        write_pictures(root, stream, reader)
    if has_edx:
        write_edx(root, reader, dense=dense)


def _write_names(root: H5Group, fold: RunFold, has_edx: bool) -> None:
    """The groups of the root before anything large: a file that loses its end then loses pictures, not its names.

    For the same reason attributes are set before what is large: later ones may lie at the end.
    """
    for name in ("results", "reconstruction", *(("simulation",) if fold.head.get("simulated") else ())):
        root.group(name, "NXentry")
    for name in (*fold.frames, *(("edx",) if has_edx else ())):
        root.group(name, "NXentry")
    root.group(PLACE, "NXcollection")


def add_reconstruction(path: Path, name: str, values: Mapping[str, Any]) -> None:
    """Add /reconstruction/NAME (or replace it) to a finished run file; the file is never seen half written.

    Args:
        values: paths below it (``Si/volume``) to arrays, numbers or texts; a key that starts with ``/`` is a path of
            the file (``/reconstruction/alignment/shift_px``).

    Raises:
        FileProblem: no finished run file.
    """

    def add(root: H5Group) -> None:
        group = make_groups(root, f"reconstruction/{name}")
        made = root.group("reconstruction")
        newest = max(order_of(made, one) for one in names_newest_first(made))
        group.set_attrs(order=newest + 1)
        for key in list(group):
            if any(place == key or place.startswith(f"{key}/") for place in values):
                group.delete(key)
        for place, value in values.items():
            put(root, place if place.startswith("/") else f"reconstruction/{name}/{place}", value)

    if "/" in name or not name or name == "alignment":
        raise BadInput(f"reconstruction: {name!r} can't be its name; use letters, digits and dashes")
    places = [place if place.startswith("/") else f"reconstruction/{name}/{place}" for place in values]
    change_run(path, add, [f"reconstruction/{name}", *places])


def change_run(
    path: Path, change: Callable[[H5Group], None], places: Sequence[str], *, out: Path | None = None
) -> None:
    """Change a copy of a finished run file and rename it over the original, or keep it as the new file `out`.

    Args:
        places: what is changed; everything else keeps the checksum that it had.

    Raises:
        FileProblem: no finished run file of cryoctl.
        OSError: disk full; the file is as it was. `FileExistsError` where `out` is there already.
    """
    with open_h5(path) as root:
        if "entry/exposures" not in root:
            raise FileProblem(f"{path} is not a finished run: end it, or name a finished one")
    with published_when_whole(out or path, new=out is not None) as scratch:
        shutil.copyfile(path, scratch)
        with change_h5(scratch) as root:
            change(root)
        seal = extend_table(scratch, places)
        if out is None and RunParts.beside(path).seals.exists():
            add_seal(RunParts.beside(path), seal)


@contextlib.contextmanager
def published_when_whole(path: Path, *, durable: bool = False, new: bool = True) -> Generator[Path]:
    """A place to write to that becomes `path` when the block ends well, and nothing when it does not.

    Raises:
        OSError: disk full; `FileExistsError` with `new` where `path` is there by now.
    """
    scratch = _scratch(path)
    try:
        yield scratch
        _publish(scratch, path, durable=durable, new=new)
    finally:
        scratch.unlink(missing_ok=True)


def _scratch(path: Path) -> Path:
    """A name on the same disk that nobody takes for a run file; in the run's own folder where it has one."""
    parts = RunParts.beside(path).folder
    return (parts if parts.is_dir() else path.parent) / f".packing-{uuid.uuid4().hex}"


def _publish(scratch: Path, path: Path, *, durable: bool = False, new: bool = False) -> None:
    if durable:
        fd = open_file(scratch, write=True)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    if new:
        _rename_to_new(scratch, path)
    else:
        os.replace(scratch, path)
    if durable:
        sync_folder(path.parent)


def _rename_to_new(scratch: Path, path: Path) -> None:
    """Raises `FileExistsError` where somebody has the name by now."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):  # a file system without links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(scratch, path)
    else:
        scratch.unlink()
