"""Quantities as people type them for an option: `10nm`, `500 ms`, or a number in the SI unit."""

from __future__ import annotations

from cryoctl.errors import BadInput


def quantity_of(text: str, field: str, option: str) -> float:
    """In the SI unit that the field's name ends with. Raises `BadInput`, which names the option, for anything else."""
    from cryoctl.units import dimension_of, parse_quantity

    dimension = dimension_of(field)
    assert dimension is not None
    try:
        value: float | str = float(text)
    except ValueError:
        value = text
    try:
        return parse_quantity(value, dimension)
    except BadInput as problem:
        raise BadInput(f"{option}: {problem}") from None
