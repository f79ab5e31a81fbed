"""Bundled recipes; each name is an entry point of the group `cryoctl.recipes`."""

from __future__ import annotations

from importlib.resources import files

EDX_TOMOGRAPHY = files(__name__) / "edx-tomography.yaml"
BIASED_SERIES = files(__name__) / "biased-series.yaml"
NEEDLE_BIASING = files(__name__) / "needle-biasing.yaml"
CHIP_BIASING = files(__name__) / "chip-biasing.yaml"
ON_REQUEST = files(__name__) / "on-request.yaml"
CALIBRATE = files(__name__) / "calibrate.yaml"
