"""A small voltage before and after a needle touches: supporting evidence where the specimen conducts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl.steps import (
    Compute,
    ComputeTrace,
    Note,
    ReadBias,
    RestBias,
    SetBiasLimits,
    StartWaveform,
)
from cryoctl.steps.waveform import constant_voltage
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters

PROBED = "analysis.probe_current:probed"
EVIDENCE = "analysis.probe_current:probe_evidence"

_PROBE_S = 2.0
_SETTLED_S = 0.5
_MARGIN_S = 0.5
"""After its end: until then its last samples are there."""


class ContactProbe:
    """Does nothing unless the recipe says that the contact conducts.

    The source then keeps the limits of the probe until the contact is made, and gets those of the bias after it.
    """

    def __init__(self, recipe: NeedleBiasingParameters, drive: NeedleDrive) -> None:
        self._recipe = recipe
        self._drive = drive
        self._apart: Mapping[str, Any] | None = None

    def limits(self) -> Block[None]:
        """Those that the source has until the contact is made."""
        recipe = self._recipe
        if not recipe.needle.conducts:
            yield from self._bias_limits()
            return
        yield from SetBiasLimits(voltage_limit_v=recipe.probe_v, compliance_a=recipe.probe_a)

    def apart(self) -> Block[None]:
        """Before the touch: what the source reads with the needle open."""
        if self._recipe.needle.conducts:
            self._apart = yield from self._probe()

    def touching(self) -> Block[Mapping[str, Any]]:
        """After the touch; then the source has the limits of the bias.

        Returns:
            What the current says of the contact: `current_a` is its change by the touch. Empty where it is not probed.
        """
        if self._apart is None:
            return {}
        touching = yield from self._probe()
        found = yield from Compute(function=EVIDENCE, arguments={"apart": self._apart, "touching": touching})
        told = found.values
        if not told["conducts"]:
            yield from Note(
                name="contact",
                message=f"the pictures show contact, the current does not: {told['message']}; the pictures decide",
                level="warning",
            )
        yield from self._bias_limits()
        return {key: told[key] for key in ("current_a", "current_a_sigma", "conducts", "limited")}

    def _probe(self) -> Block[Mapping[str, Any]]:
        waveform = constant_voltage(self._recipe.probe_v, _PROBE_S)
        began = yield from StartWaveform(
            waveform=waveform, sample_interval_s=self._recipe.bias.sample_interval_s, probing=True
        )
        yield from self._drive.wait(_PROBE_S + _MARGIN_S, "the contact is probed")
        yield from ReadBias()
        found = yield from ComputeTrace(
            function=PROBED,
            since_s=began.began_s,
            until_s=began.ends_s,
            arguments={"settled_s": began.began_s + _SETTLED_S},
        )
        yield from RestBias()
        return found.values

    def _bias_limits(self) -> Block[None]:
        bias = self._recipe.bias
        yield from SetBiasLimits(voltage_limit_v=bias.limit_v, compliance_a=bias.compliance_a)
