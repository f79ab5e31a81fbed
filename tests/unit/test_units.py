from __future__ import annotations

import math
import re
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from cryoctl.units import (
    DIMENSIONS,
    DosePerA2,
    Kelvin,
    Metres,
    QuantityError,
    Seconds,
    StrictModel,
    dimension_of,
    dose_e_per_a2,
    electron_wavelength_m,
    format_duration,
    format_quantity,
    parse_quantity,
)
from cryoctl.units.fields import text_pattern


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("20 um", "_m", 2e-5),
        ("20 \u00b5m", "_m", 2e-5),
        ("20 \u03bcm", "_m", 2e-5),
        ("20um", "_m", 2e-5),
        ("5 Å", "_m", 5e-10),
        ("5 \u212b", "_m", 5e-10),
        ("2.5 deg", "_deg", 2.5),
        ("-178 C", "_k", 95.15),
        ("-178 °C", "_k", 95.15),
        ("\u2212178 C", "_k", 95.15),
        ("95 K", "_k", 95.0),
        ("0.2 nA", "_a", 2e-10),
        ("10 e-/A^2/s", "_e_per_a2_s", 10.0),
        ("5e4 e/A^2", "_e_per_a2", 5e4),
        ("5e4 e\u207b/Å²", "_e_per_a2", 5e4),
        ("100 e-/nm^2", "_e_per_a2", 1.0),
        ("30 min", "_s", 1800.0),
        ("10 mrad", "_rad", 0.01),
        ("16 pC", "_c", 1.6e-11),
        ("1e15 1/cm^2", "_per_m2", 1e19),
        ("1e15 cm^-2", "_per_m2", 1e19),
        ("2 K/min", "_k_per_s", 2 / 60),
        ("1.74 keV", "_ev", 1740.0),
        (1e-6, "_m", 1e-6),
        (3, "_deg", 3.0),
    ],
)
def test_quantities_convert_to_the_unit_of_the_suffix(text: object, suffix: str, expected: float) -> None:
    assert parse_quantity(text, DIMENSIONS[suffix]) == expected


@pytest.mark.parametrize(
    ("value", "suffix", "says"),
    [
        ("1e-6", "_m", "without a unit"),
        ("20 kV", "_m", "a voltage, where a length"),
        ("5 A", "_m", "a current"),
        ("20 UM", "_m", "did you mean um"),
        ("5 parsec", "_m", "unknown unit"),
        ("2,5 deg", "_deg", "decimal point"),
        ("2,5", "_deg", "decimal point"),
        ("1_000 m", "_m", "a length is wanted"),
        ("nan m", "_m", "a length is wanted"),
        ("inf", "_m", "a length is wanted"),
        ("", "_m", "a length is wanted"),
        (True, "_m", "found true"),
        (math.nan, "_m", "nan"),
        (math.inf, "_m", "beyond reason"),
        (10**400, "_m", "beyond reason"),
        ("1e999 m", "_m", "beyond reason"),
        ("1e99999999999999999999 m", "_m", "beyond reason"),
        ("-300 C", "_k", "beyond reason"),
        (-1, "_k", "beyond reason"),
        (None, "_m", "found nothing"),
        ([1], "_m", "a list"),
        ("5 e-/A^2", "_e_per_a2_s", "a dose, where a dose rate"),
    ],
)
def test_what_is_no_such_quantity_is_refused(value: object, suffix: str, says: str) -> None:
    with pytest.raises(QuantityError, match=says.replace("(", "\\(")) as caught:
        parse_quantity(value, DIMENSIONS[suffix])
    assert len(str(caught.value)) <= 200
    str(caught.value).encode("cp1252")


@given(st.text(max_size=100), st.sampled_from(sorted(DIMENSIONS)))
def test_any_text_is_a_finite_number_or_a_short_refusal(text: str, suffix: str) -> None:
    message = ""
    number = 0.0
    try:
        number = parse_quantity(text, DIMENSIONS[suffix])
    except QuantityError as problem:
        message = str(problem)
    assert math.isfinite(number)
    assert len(message) <= 250
    assert "\n" not in message


def test_the_editors_pattern_takes_what_the_parser_takes() -> None:
    for dimension in DIMENSIONS.values():
        pattern = re.compile(text_pattern(dimension))
        for text in (dimension.example, *(f"1.5 {unit}" for unit in dimension.shown), f"-2e-3{dimension.shown[0]}"):
            assert pattern.fullmatch(text), (dimension, text)
            if not text.startswith("-"):
                parse_quantity(text, dimension)
        for text in ("1", "1,5 um", "1 parsec", "um"):
            assert not pattern.fullmatch(text), (dimension, text)


@given(
    st.floats(min_value=-9e5, max_value=9e5, allow_nan=False).filter(lambda x: abs(x) > 1e-3 or x == 0),
    st.sampled_from([("um", "e-6"), ("nm", "e-9"), ("mm", "e-3")]),
)
def test_conversion_is_correctly_rounded(number: float, unit: tuple[str, str]) -> None:
    if "e" in repr(number):
        return
    assert parse_quantity(f"{number!r} {unit[0]}", DIMENSIONS["_m"]) == float(f"{number!r}{unit[1]}")


def test_the_longest_suffix_wins() -> None:
    def suffix(name: str) -> str | None:
        found = dimension_of(name)
        return found.suffix if found else None

    assert suffix("dose_rate_e_per_a2_s") == "_e_per_a2_s"
    assert suffix("limit_e_per_a2") == "_e_per_a2"
    assert suffix("drift_m_per_s") == "_m_per_s"
    assert suffix("ga_limit_per_m2") == "_per_m2"
    assert suffix("ramp_k_per_s") == "_k_per_s"
    assert suffix("dwell_s") == "_s"
    assert suffix("shape") is None


class Image(StrictModel):
    pixel_size_m: Annotated[Metres, Field(gt=0)] = 1e-8
    """Edge of a pixel."""
    dwell_s: Seconds | None = None
    doses_e_per_a2: list[DosePerA2] | DosePerA2 = 1.0
    temperature_k: Kelvin = 95.0


def test_fields_of_models_take_quantities_and_keep_their_bounds() -> None:
    image = Image.model_validate({"pixel_size_m": "10 nm", "doses_e_per_a2": ["1 e/A^2", 2], "temperature_k": "-178 C"})
    assert image.pixel_size_m == 1e-8
    assert image.doses_e_per_a2 == [1.0, 2.0]
    with pytest.raises(ValidationError):
        Image.model_validate({"pixel_size_m": "-10 nm"})
    with pytest.raises(ValidationError):
        Image.model_validate({"pixel_siz_m": 1e-8})


def test_schema_offers_number_or_text_with_a_unit() -> None:
    field = Image.model_json_schema()["properties"]["pixel_size_m"]
    number, text = field["anyOf"]
    assert number == {"type": "number", "exclusiveMinimum": 0}
    assert text["type"] == "string"
    assert field["x-unit"] == "m"
    assert field["description"] == "Edge of a pixel."


def test_names_and_units_of_fields_must_agree() -> None:
    with pytest.raises(TypeError, match="bare float"):

        class Bare(StrictModel):
            width_m: float = 1.0

    with pytest.raises(TypeError, match="end its name in _s"):

        class Wrong(StrictModel):
            width_m: Seconds = 1.0

    with pytest.raises(TypeError, match="end its name in _m"):

        class Unnamed(StrictModel):
            width: list[Metres] = []  # noqa: RUF012


def test_dose_is_fluence_of_the_beam() -> None:
    # science.md: 1 nA for 1 s is 6.2415e9 electrons; 0.1 nA on 1 nm^2 for 1 ms is 6e3 e-/A^2
    assert dose_e_per_a2(1e-9, 1.0, 1e-20) == pytest.approx(6.2415e9, rel=1e-5)
    assert dose_e_per_a2(1e-10, 1e-3, 1e-18) == pytest.approx(6.24e3, rel=1e-3)
    # science.md E4: 0.64 nA over a disc of 2 um is 10 e-/A^2/s... of diameter 2.26 um; of 2 um it is 12.7
    assert dose_e_per_a2(0.64e-9, 1.0, math.pi * 1e-12) == pytest.approx(12.7, rel=0.01)
    with pytest.raises(ValueError, match="area"):
        dose_e_per_a2(1e-9, 1.0, 0.0)
    assert electron_wavelength_m(200e3) == pytest.approx(2.508e-12, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2e-5, "m", "20 um"),
        (0.0, "m", "0 m"),
        (999.99e-9, "m", "1 um"),
        (2e-10, "A", "200 pA"),
        (2e5, "V", "200 kV"),
        (5e4, "e-/A^2", "50000 e-/A^2"),
        (-3e-6, "m", "-3 um"),
        (math.nan, "m", "n/a"),
        (2.5, "deg", "2.5 deg"),
    ],
)
def test_numbers_for_people(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text
    text.encode("ascii")


def test_durations_for_people() -> None:
    assert [format_duration(s) for s in (0.5, 42, 725, 12000, math.nan)] == [
        "500 ms",
        "42 s",
        "12 min 5 s",
        "3 h 20 min",
        "n/a",
    ]
