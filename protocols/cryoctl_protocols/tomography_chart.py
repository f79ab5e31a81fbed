"""The states of the EDX tomography as plain data."""

from __future__ import annotations

from cryoctl.protocol import Chart, Transition

LABELS = {
    "prepare": "Detectors in, optics set, beam current measured",
    "locate": "Looking for the target at low dose",
    "eucentric": "Bringing the target to the tilt axis",
    "shower": "Showering with a broad beam",
    "reference": "Reference pictures beside the target",
    "next_tilt": "Choosing the next tilt, asking what the dose allows",
    "measure_beam": "Measuring the beam current",
    "tilt": "Tilting",
    "track": "Tracking beside the target",
    "drift": "Waiting for the drift",
    "focus": "Focusing beside the target",
    "record": "Recording image and EDX",
    "close_target": "Target finished",
    "give_up": "Target lost",
    "limit_reached": "Dose limit reached",
    "hold": "Held by an interlock",
    "finish": "Back to 0 degrees, detectors out",
    "completed": "completed",
    "dose_limited": "ended by the dose limit",
    "targets_lost": "ended because targets were lost",
    "interlocked_end": "ended by an interlock",
    "time_over": "ended at the time that the recipe gives",
    "condition_met": "ended by a condition of the recipe",
    "ended_by_operator": "ended by the operator",
}

FINALS = {
    "completed": "completed",
    "dose_limited": "dose",
    "targets_lost": "target-lost",
    "interlocked_end": "interlock",
    "time_over": "time",
    "condition_met": "condition",
    "ended_by_operator": "operator",
}

END_TRIGGERS = {
    "completed": "end_completed",
    "dose": "end_dose",
    "target-lost": "end_target_lost",
    "interlock": "end_interlock",
    "time": "end_time",
    "condition": "end_condition",
    "operator": "end_operator",
}
"""By end reason, what `finish` returns."""

_STATES = tuple(name for name in LABELS if name not in FINALS)
_ON_TARGET = (
    "locate", "eucentric", "shower", "reference", "next_tilt", "measure_beam", "tilt", "track", "drift", "focus",
    "record",
)  # fmt: skip


def _way(trigger: str, source: str, dest: str, guard: str = "") -> Transition:
    return Transition(trigger=trigger, source=source, dest=dest, guard=guard)


def _ways() -> tuple[Transition, ...]:
    end_of = {reason: final for final, reason in FINALS.items()}
    return (
        _way("prepared", "prepare", "locate"),
        _way("located", "locate", "eucentric", "height_is_wanted"),
        _way("located", "locate", "shower", "shower_is_wanted"),
        _way("located", "locate", "reference"),
        _way("levelled", "eucentric", "shower", "shower_is_wanted"),
        _way("levelled", "eucentric", "reference"),
        _way("showered", "shower", "reference"),
        _way("referenced", "reference", "next_tilt"),
        _way("tilt_chosen", "next_tilt", "measure_beam", "current_is_due"),
        _way("tilt_chosen", "next_tilt", "tilt"),
        _way("beam_measured", "measure_beam", "tilt"),
        _way("tilted", "tilt", "track", "tracking_is_due"),
        _way("tilted", "tilt", "focus", "focusing_is_due"),
        _way("tilted", "tilt", "record"),
        _way("tracked", "track", "drift", "drift_is_watched"),
        _way("tracked", "track", "focus", "focusing_is_due"),
        _way("tracked", "track", "record"),
        _way("settled", "drift", "focus", "focusing_is_due"),
        _way("settled", "drift", "record"),
        _way("focused", "focus", "record"),
        _way("recorded", "record", "next_tilt"),
        _way("looked_too_long_ago", "record", "track"),
        _way("series_over", "next_tilt", "close_target"),
        _way("target_closed", "close_target", "locate", "another_target_waits"),
        _way("target_closed", "close_target", "finish"),
        _way("target_closed", "give_up", "locate", "another_target_waits"),
        _way("target_closed", "give_up", "finish"),
        _way("target_closed", "limit_reached", "locate", "another_target_waits"),
        _way("target_closed", "limit_reached", "finish"),
        _way("held", "hold", "finish"),
        *(_way("lost", state, "give_up") for state in _ON_TARGET),
        *(_way("dose_spent", state, "limit_reached") for state in _ON_TARGET),
        *(_way("interlocked", state, "hold") for state in ("prepare", *_ON_TARGET)),
        _way("lost", "finish", "targets_lost"),
        _way("interlocked", "finish", "interlocked_end"),
        *(_way(trigger, "finish", end_of[reason]) for reason, trigger in END_TRIGGERS.items()),
    )


CHART = Chart(initial="prepare", states=_STATES, finals=FINALS, transitions=_ways(), labels=LABELS)
