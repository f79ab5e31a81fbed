"""The hold of a cell without an instrument: an operator who skips it or ends the run, and what is told of its power."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from cryoctl.steps import Checkpoint, Command
from cryoctl_protocols.chip_biasing import ChipBiasing
from cryoctl_protocols.chip_electrics import CellElectrics, Hold
from cryoctl_protocols.chip_recipe import ChipBias, ChipBiasingParameters, Facet
from tests.unit.protocols.fake_instrument import some_facts


@pytest.mark.parametrize(("command", "ended"), [("skip", "lost"), ("stop-after", "stopped")])
def test_a_target_that_is_skipped_is_lost_and_a_run_that_is_ended_is_the_operators(command: str, ended: str) -> None:
    """As with a needle: the one ends with exit code 4, target-lost, the other with 3."""
    recipe = ChipBiasingParameters(
        facets=(Facet(name="a", spacing_m=6e-10),), bias=ChipBias(hold="constant-voltage", duration_s=60.0)
    )
    protocol = ChipBiasing(recipe, some_facts())
    state = protocol.hold()
    # All that steps are answered with here; its power is never known.
    answer = SimpleNamespace(
        time_s=12.0,
        began_s=2.0,
        ends_s=100.0,
        irradiance_w_per_m2=1000.0,
        output_on=True,
        stopped_by="",
        values={"voltage_v": 0.9, "current_a": 0.0, "power_w": 0.0, "power_w_sigma": 0.0, "rows": 0},
    )
    step: Any = next(state)
    while not isinstance(step, Checkpoint):
        step = state.send(answer)
    with pytest.raises(StopIteration) as over:
        state.send(Command(command=command, time_s=12.0))
    assert over.value.value == "over"
    assert (protocol.ended, protocol.why) == (ended, command)


def test_a_dwell_without_rows_takes_no_uncertainty_from_the_others() -> None:
    """The beam was open all along in the last one."""
    recipe = ChipBiasingParameters(facets=(Facet(name="a", spacing_m=6e-10),))
    electrics = CellElectrics(recipe)
    electrics.offset_sigma_a = 1e-12
    held = Hold(recipe, electrics)
    nothing = math.nan
    held.columns = {"voltage_v": [0.9, nothing], "power_w": [1e-9, nothing], "power_w_sigma": [3e-13, nothing]}
    told = held.told()
    assert told["mean_power_w"] == 1e-9
    assert told["mean_power_w_sigma"] == pytest.approx(math.hypot(3e-13, 9e-13))
