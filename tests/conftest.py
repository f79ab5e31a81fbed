"""Settings of the whole suite, before numpy is imported."""

from __future__ import annotations

import os

# Each test process has a core: the threads of BLAS in one would only wait for those of the other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
