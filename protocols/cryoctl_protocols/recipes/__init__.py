"""Bundled recipes; each name is an entry point of the group `cryoctl.recipes`."""

from __future__ import annotations

from importlib.resources import files

EDX_TOMOGRAPHY = files(__name__) / "edx-tomography.yaml"
CALIBRATE = files(__name__) / "calibrate.yaml"
