"""Tiled takes a run's documents, and finds its pictures in the run file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.bluesky import documents
from tests.runs.small_runs import play, run_file

pytestmark = pytest.mark.peers


def test_tiled_reads_pictures_spectra_and_columns(tmp_path: Path) -> None:
    pytest.importorskip("tiled", reason="needs the extra tiled")
    from bluesky.callbacks.tiled_writer import TiledWriter
    from tiled.catalog import in_memory
    from tiled.client import Context, from_context
    from tiled.server.app import build_app

    path = run_file(play(tmp_path / "runs"))
    kept = tmp_path / "tiled"
    kept.mkdir()
    database = f"sqlite:///{kept}/tables.db"
    catalog = in_memory(writable_storage=[str(kept), database], readable_storage=[str(path.parent)])
    with Context.from_app(build_app(catalog)) as context, open_run(path) as run:
        client = from_context(context)
        writer = TiledWriter(client)
        for name, document in documents(path):
            writer(name, document)
        (taken,) = client.values()
        assert taken.metadata["start"]["plan_name"] == "edx-tomography"
        assert taken.metadata["stop"]["exit_status"] == "success"
        primary = taken["primary"]
        assert np.array_equal(primary["picture"].read(), run.image.data[:])
        assert np.array_equal(primary["spectrum"].read(), run.edx.spectra)
        assert np.array_equal(primary["tilt_deg"].read(), run.image.tilt_deg)
        assert len(taken["exposures"]["kind"].read()) == len(run.exposures.time_s)
