"""One thread for linear algebra: its sums then have one order, whatever the machine does beside, and equal runs are
equal. The matrices of the analyses are small; what is large has kernels and threads of its own (`reconstruction`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def one_blas_thread(work: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function during which BLAS uses one thread; what was set before comes back after it."""

    @wraps(work)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            return work(*args, **kwargs)

    return limited
