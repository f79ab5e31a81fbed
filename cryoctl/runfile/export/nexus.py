"""`nexus`: the run file itself, whole and on its own; a running or killed run is packed first."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryoctl.errors import BadInput
from cryoctl.runfile.export.series import file_for
from cryoctl.runfile.reader import Run
from cryoctl.runfile.writer import pack


def export(run: Run, out: Path | None = None) -> tuple[Path, ...]:
    """Copy (or pack) to `out`. Raises `BadInput` where that is the run file itself."""
    path = file_for(run, out, run.path.name)
    if path.resolve() == run.path.resolve():
        raise BadInput(f"{run.path.name} is NeXus already: give --out another file or folder to get a copy")
    if run.packed:
        shutil.copyfile(run.path, path)
    else:
        pack(path, run.parts.folder)
    return (path,)
