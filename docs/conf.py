"""Sphinx: MyST pages in four kinds, furo."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [
    str(_HERE / "_ext"),
    *(str(_HERE.parent / root) for root in (".", "drivers", "protocols", "simulators")),
]

project = "cryoctl"
author = "The cryoctl developers"
copyright = "2026, the cryoctl developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_reference"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
html_theme = "furo"
html_title = "cryoctl"
exclude_patterns = ["_build", "_ext"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = False
suppress_warnings = ["myst.header"]
