"""The vocabulary: what a protocol can ask for (steps) and what it is told (results). Frozen plain data, no I/O."""

from __future__ import annotations

from cryoctl.steps.base import FrameRef, Step
from cryoctl.steps.bias import (
    ApplyBias,
    BiasAtRest,
    BiasLimitsSet,
    BiasRead,
    MeasureOpenCircuit,
    OpenCircuit,
    ReadBias,
    RestBias,
    SetBiasLimits,
    StartWaveform,
    StopWaveform,
    WaveformStarted,
)
from cryoctl.steps.column import CurrentMeasured, Insert, MeasureCurrent, OpticsSet, Retract, UseOptics
from cryoctl.steps.compute import Compute, Computed, ComputeTrace, Conclude
from cryoctl.steps.environment import LightSet, ReadSensors, Sensors, SetLight, SetTemperature
from cryoctl.steps.exposure import Afford, Affordable, Expose, Exposed
from cryoctl.steps.flow import Checkpoint, Command, EndTarget, Note, NoteParticles, Wait, Waited
from cryoctl.steps.needle import (
    NeedleAt,
    NoteGap,
    NoteHold,
    PlaceNeedle,
    ReadNeedle,
    SetNeedleVoltage,
    StepNeedle,
    WithdrawNeedle,
)
from cryoctl.steps.requests import MakeSafe, NextRequest, Requested
from cryoctl.steps.stage import MoveStage, StageAt

__all__ = [
    "Afford",
    "Affordable",
    "ApplyBias",
    "BiasAtRest",
    "BiasLimitsSet",
    "BiasRead",
    "Checkpoint",
    "Command",
    "Compute",
    "ComputeTrace",
    "Computed",
    "Conclude",
    "CurrentMeasured",
    "EndTarget",
    "Expose",
    "Exposed",
    "FrameRef",
    "Insert",
    "LightSet",
    "MakeSafe",
    "MeasureCurrent",
    "MeasureOpenCircuit",
    "MoveStage",
    "NeedleAt",
    "NextRequest",
    "Note",
    "NoteGap",
    "NoteHold",
    "NoteParticles",
    "OpenCircuit",
    "OpticsSet",
    "PlaceNeedle",
    "ReadBias",
    "ReadNeedle",
    "ReadSensors",
    "Requested",
    "RestBias",
    "Retract",
    "Sensors",
    "SetBiasLimits",
    "SetLight",
    "SetNeedleVoltage",
    "SetTemperature",
    "StageAt",
    "StartWaveform",
    "Step",
    "StepNeedle",
    "StopWaveform",
    "UseOptics",
    "Wait",
    "Waited",
    "WaveformStarted",
    "WithdrawNeedle",
]
