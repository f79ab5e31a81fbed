"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings
from threadpoolctl import threadpool_limits

# Each test process has a core: the threads of BLAS in one would only wait for those of the other.
threadpool_limits(1, user_api="blas")

# Machines are shared: how long one example takes says nothing about the code.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
