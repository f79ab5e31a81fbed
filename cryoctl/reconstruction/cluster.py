"""Slices spread over a dask cluster: slices share the matrix and nothing else, so the result is the same.

Pieces are whole blocks of the kernel, so that each slice is summed in the very same order as on one machine.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from cryoctl.errors import BadInput
from cryoctl.reconstruction.methods import Settings, held_out_errors, volume_of
from cryoctl.reconstruction.series import Stack, TiltSeries
from cryoctl.reconstruction.slice_kernel import BLOCK
from cryoctl.reconstruction.stopping import Fold, StopChoice, first_minimum

CONNECT_TIMEOUT_S = 10


class Farm:
    """A dask scheduler at `address`; raises BadInput if the extra is missing or nobody answers."""

    def __init__(self, address: str) -> None:
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError:
            raise BadInput(
                "scheduler: dask.distributed is not installed; install it with pip install 'cryoctl[cluster]' or leave "
                "the scheduler out"
            ) from None
        try:
            self._client: Any = distributed.Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as problem:
            raise BadInput(
                f"scheduler: no dask scheduler answers at {address} ({type(problem).__name__}); give its address as "
                "tcp://host:8786 or leave the scheduler out"
            ) from None

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def volume(self, settings: Settings, series: TiltSeries, stop: float) -> Stack:
        """Volume [z, y, x] after `stop` iterations or at the cut-off `stop`."""
        pieces = [series.of_slices(a, b) for a, b in _cuts(series.counts.shape[2])]
        return np.concatenate(self._map(volume_of, settings, pieces, stop), axis=2)

    def errors(self, settings: Settings, folds: list[Fold], candidates: list[float]) -> list[float]:
        """Held-out error of each candidate over all slices."""
        cuts = _cuts(folds[0].test.counts.shape[2])
        pieces = [[Fold(f.train.of_slices(a, b), f.test.of_slices(a, b)) for f in folds] for a, b in cuts]
        return [float(e) for e in np.sum(self._map(held_out_errors, settings, pieces, candidates), axis=0)]

    def first_minimum(self, settings: Settings, folds: list[Fold], most: int) -> StopChoice:
        """As `stopping.first_minimum`; asks for twice as many iterations until the minimum is certain."""
        asked = min(25, most)
        while True:
            errors = self.errors(settings, folds, [float(i + 1) for i in range(asked)])
            choice = first_minimum(errors, most)
            if len(choice.curve) < asked or asked >= most:
                return choice
            asked = min(2 * asked, most)

    def _map(self, function: Any, settings: Settings, pieces: list[Any], last: Any) -> list[Any]:
        work = [self._client.submit(function, settings, piece, last, pure=False) for piece in pieces]
        return list(self._client.gather(work))


def _cuts(n_x: int) -> list[tuple[int, int]]:
    return [(x, min(x + BLOCK, n_x)) for x in range(0, n_x, BLOCK)]
