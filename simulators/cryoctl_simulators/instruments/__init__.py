"""Instrument files of simulated microscopes."""

from __future__ import annotations

from importlib.resources import files

SIMULATED = files(__name__) / "simulated.yaml"
RECORDED = files(__name__) / "recorded.yaml"
"""Stands in a replay for the microscope of data that are no run of cryoctl."""
NEEDLE_HOLDER = files(__name__) / "needle_holder.yaml"
"""For specimens that a needle touches."""
EMULATED_NEEDLE_HOLDER = files(__name__) / "emulated_needle_holder.yaml"
"""The same with drivers of real instruments on emulated ones."""
CHIP_HOLDER = files(__name__) / "chip_holder.yaml"
"""For specimens that are wired on a chip."""
