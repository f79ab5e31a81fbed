from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from cryoctl.errors import BadInput
from cryoctl.reconstruction import reconstruct

TILTS = np.linspace(-60, 60, 9)
COUNTS = np.random.default_rng(0).poisson(2.0, (9, 20, 150))


@pytest.mark.peers
def test_slices_over_dask_give_the_same_volume() -> None:
    import distributed

    options: dict[str, Any] = {"background": 0.2, "gain": "fit"}
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp://"
    ) as cluster:
        for algorithm in ("mlem", "osem", "sirt", "wbp"):
            here = reconstruct(COUNTS, TILTS, algorithm=algorithm, **options)
            there = reconstruct(COUNTS, TILTS, algorithm=algorithm, scheduler=cluster.scheduler_address, **options)
            assert np.array_equal(here.volume, there.volume), algorithm
            assert (here.iterations, here.cutoff) == (there.iterations, there.cutoff)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(BadInput, match=r"cryoctl\[cluster\]"):
        reconstruct(COUNTS, TILTS, scheduler="tcp://127.0.0.1:8786", iterations=1)


@pytest.mark.peers
def test_a_silent_address_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryoctl.reconstruction.cluster.CONNECT_TIMEOUT_S", 1)
    with pytest.raises(BadInput, match="no dask scheduler answers"):
        reconstruct(COUNTS, TILTS, scheduler="tcp://127.0.0.1:9", iterations=1)
