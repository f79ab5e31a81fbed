"""Settings of the whole suite."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

# Each test process has a core: the threads of BLAS in one would only wait for those of the other.
threadpool_limits(1, user_api="blas")

# Machines are shared: how long one example takes says nothing about the code.
# The suite plays the same examples everywhere; HYPOTHESIS_PROFILE=searching looks for new ones.
settings.register_profile("shared-machine", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "shared-machine"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """Tests of one file stay with one process, so that what they share is made once; who has none left takes some."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def pytest_collection_finish() -> None:
    """What is there by now stays to the end; it need not be looked through each time that garbage is collected."""
    gc.collect()
    gc.freeze()


_AT_ONCE = 25
_finished = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """A world has some 30 MB in few objects: what a contract's check kept of one would stay until the session ends, and
    what nobody keeps would wait for a collector that counts objects. Some GB a process were seen."""
    yield
    instance = getattr(item, "instance", None)
    if instance is not None:
        vars(instance).clear()
    if next(_finished) % _AT_ONCE == 0:
        gc.collect()
