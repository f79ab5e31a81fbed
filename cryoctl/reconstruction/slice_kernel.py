"""The one compiled kernel: a sparse matrix times a stack of slices, slices being the fast axis.

Every output element is one sum in the order of the matrix' row, made by one thread: the result depends neither on the
number of threads nor on how the work is cut (no atomics, no reductions). The kernel releases the GIL and is driven by
plain threads; numba's parallel back ends are avoided because they take ten times as long to compile and the default
one may not be entered from two threads at once.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

BLOCK = 64
_SMALL = 2_000_000  # multiplications below which threads cost more than they save


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _rows_times_slices(
    indptr: Any, indices: Any, values: Any, dense: Any, out: Any, row0: int, row1: int, x0: int, x1: int
) -> None:  # pragma: no cover - compiled
    total = np.empty(BLOCK, np.float32)
    width = x1 - x0
    for row in range(row0, row1):
        k = indptr[row]
        end = indptr[row + 1]
        for j in range(BLOCK):
            total[j] = np.float32(0.0)
        if width == BLOCK:
            # four entries at a time: the running sums are loaded and stored once for four products
            while k + 4 <= end:
                v0, v1, v2, v3 = values[k], values[k + 1], values[k + 2], values[k + 3]
                a = dense[indices[k], x0 : x0 + BLOCK]
                b = dense[indices[k + 1], x0 : x0 + BLOCK]
                c = dense[indices[k + 2], x0 : x0 + BLOCK]
                d = dense[indices[k + 3], x0 : x0 + BLOCK]
                for j in range(BLOCK):
                    total[j] += v0 * a[j] + v1 * b[j] + v2 * c[j] + v3 * d[j]
                k += 4
        while k < end:
            v0 = values[k]
            a = dense[indices[k], x0:x1]
            for j in range(width):
                total[j] += v0 * a[j]
            k += 1
        for j in range(width):
            out[row, x0 + j] = total[j]


def available_threads() -> int:
    """Processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return os.cpu_count() or 1 if affinity is None else len(affinity(0))


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=f"reconstruction-{process}")


def times_slices(matrix: Any, dense: npt.NDArray[np.float32], threads: int | None = None) -> npt.NDArray[np.float32]:
    """`matrix @ dense` for a float32 CSR matrix and a C-contiguous float32 array [column, slice]."""
    threads = threads or available_threads()
    n_rows, n_x = int(matrix.shape[0]), int(dense.shape[1])
    out = np.empty((n_rows, n_x), np.float32)
    blocks = [(x0, min(x0 + BLOCK, n_x)) for x0 in range(0, n_x, BLOCK)]
    arrays = (matrix.indptr, matrix.indices, matrix.data, dense, out)
    if threads == 1 or matrix.nnz * n_x < _SMALL:
        for x0, x1 in blocks:
            _rows_times_slices(*arrays, 0, n_rows, x0, x1)
        return out
    parts = 4 * threads
    cuts = [n_rows * i // parts for i in range(parts + 1)]
    pool = _pool(threads, os.getpid())
    work = [
        pool.submit(_rows_times_slices, *arrays, cuts[i], cuts[i + 1], x0, x1)
        for x0, x1 in blocks
        for i in range(parts)
    ]
    for item in work:
        item.result()
    return out
