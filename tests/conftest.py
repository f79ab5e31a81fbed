"""Settings of the whole suite, before numpy is imported."""

from __future__ import annotations

import os

from hypothesis import settings

# Each test process has a core: the threads of BLAS in one would only wait for those of the other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Machines are shared: how long one example takes says nothing about the code.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
