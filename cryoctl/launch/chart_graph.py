"""A protocol's chart as a Mermaid state diagram."""

from __future__ import annotations

import re

from cryoctl.protocol import Chart

_RESERVED = {"end", "state", "note", "as", "direction", "class", "classdef", "style", "default"}


def mermaid(chart: Chart) -> str:
    """`stateDiagram-v2` text, ASCII: states with their labels, finals with the end reason, triggers and guards.

    Transitions that share source and destination are drawn as one arrow.
    """
    lines = ["stateDiagram-v2"]
    for state in (*chart.states, *chart.finals):
        label = chart.labels.get(state, state.replace("_", " "))
        if state in chart.finals and chart.finals[state] not in label:
            label = f"{label} ({chart.finals[state]})"
        lines.append(f'    state "{_text(label)}" as {_name(state)}')
    lines.append(f"    [*] --> {_name(chart.initial)}")
    arrows: dict[tuple[str, str], list[str]] = {}
    for way in chart.transitions:
        text = _text(way.trigger) + (f" [{_text(way.guard.replace('_', ' '))}]" if way.guard else "")
        arrows.setdefault((way.source, way.dest), []).append(text)
    for (source, dest), texts in arrows.items():
        lines.append(f"    {_name(source)} --> {_name(dest)} : {' / '.join(texts)}")
    lines += [f"    {_name(final)} --> [*]" for final in chart.finals]
    return "\n".join(lines)


def _name(state: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", state)
    return f"{name}_" if name.lower() in _RESERVED else name


def _text(text: str) -> str:
    plain = text.encode("ascii", "replace").decode()
    return " ".join(plain.replace('"', "'").replace(":", ";").split())
