from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("synthetic_run", Path(__file__).with_name("synthetic_run.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["synthetic_run"] = _MODULE
_SPEC.loader.exec_module(_MODULE)


@pytest.fixture
def synthetic_run():
    return _MODULE.synthetic_run


@pytest.fixture
def packed_run(tmp_path):
    """A finished, packed run; and its extras as `engine.finish` would hand them over."""
    from cryoctl.runfile.writer import pack

    path = _MODULE.synthetic_run(tmp_path)
    pack(path, path.with_suffix(".parts"), {"results/current/verdict": "below detection", "simulation/drift_m": [0, 0]})
    return path
