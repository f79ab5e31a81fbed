"""Whatever is typed into a recipe or after --set: a result, or RecipeError of one line of at most 300 characters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from cryoctl.errors import RecipeError
from cryoctl.recipe import RawRecipe, parse_recipe, read_document, resolved_yaml, to_yaml, validate
from cryoctl.units import DosePerA2, Metres, StrictModel

HEAD = "schema_version: 1\nprotocol: x\n"


class Inner(StrictModel):
    kind: Literal["inner"] = "inner"
    size_m: Metres = 1e-8
    on: bool = False


class Other(StrictModel):
    kind: Literal["other"]
    dose_e_per_a2: DosePerA2 | list[DosePerA2] = 1.0


class Parameters(StrictModel):
    part: Annotated[Inner | Other, Field(discriminator="kind")] = Inner()
    parts: list[Inner | Other] = Field(default_factory=list[Inner | Other])
    count: int = 1
    names: dict[str, float] = Field(default_factory=dict[str, float])


words = st.sampled_from(
    [
        *(
            "part",
            "parts",
            "kind",
            "inner",
            "other",
            "size_m",
            "on",
            "dose_e_per_a2",
            "count",
            "names",
            "schema_version",
        ),
        *(
            "1",
            "1e-6",
            "20 um",
            "'",
            '"',
            ":",
            ": ",
            "- ",
            "\n",
            "\n  ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "&a",
            "*a",
            "!!x",
            "|",
        ),
        *(
            "---",
            "...",
            "%",
            "#",
            "\t",
            "\r",
            "? ",
            "null",
            "true",
            ".nan",
            "9" * 40,
            "2,5",
            "<<",
            "\ufeff",
            "μ",
            "\x85",
        ),
    ]
)
yamlish = st.lists(words | st.text(max_size=5), max_size=40).map("".join)


def attempt(text: str | bytes, overrides: list[str]) -> None:
    try:
        validate(Parameters, parse_recipe(text, "f.yaml", overrides))
    except RecipeError as problem:
        message = str(problem)
        assert 0 < len(message) <= 300
        assert len(message.splitlines()) == 1
        assert message.isprintable()
        message.encode("cp1252")


@settings(max_examples=400, deadline=None)
@given(yamlish, st.booleans())
def test_any_text(text: str, headed: bool) -> None:
    attempt(HEAD + text if headed else text, [])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    attempt(HEAD.encode() + data, [])


@settings(max_examples=250, deadline=None)
@given(st.lists(yamlish | st.tuples(yamlish, yamlish).map("=".join), max_size=3))
def test_any_overrides(overrides: list[str]) -> None:
    attempt(HEAD + "parts: [{kind: inner}]\n", overrides)


keys = (st.text(min_size=1, max_size=6) | words).filter(lambda key: bool(key.strip()))
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=12) | words
plain: st.SearchStrategy[Any] = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, plain, min_size=1, max_size=4))
def test_canonical_yaml_reads_equal(data: dict[str, Any]) -> None:
    again = read_document(to_yaml(data), "again").data
    assert repr(again) == repr(data)
    assert isinstance(again, dict)
    assert to_yaml(again) == to_yaml(data)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["part", "parts", "count", "names", "nonsense"]), plain, max_size=4))
def test_any_data(data: dict[str, Any]) -> None:
    attempt(HEAD + (to_yaml(data) if data else ""), [])


named = st.dictionaries(keys, st.floats(0, 1))


@given(st.floats(1e-12, 1.0), st.lists(st.floats(0, 1e6), max_size=5), st.integers(0, 9), named)
def test_the_resolved_recipe_is_the_recipe(
    size: float, doses: list[float], count: int, names: dict[str, float]
) -> None:
    parts = [Inner(size_m=size), Other(kind="other", dose_e_per_a2=doses)]
    parameters = Parameters(part=parts[0], parts=parts, count=count, names=names)
    text = resolved_yaml(RawRecipe("x", {}, {"a": {"b": None}}, "sim"), parameters)
    raw = parse_recipe(text)
    assert validate(Parameters, raw) == parameters
    assert (raw.protocol, raw.instrument, raw.simulation) == ("x", "sim", {"a": {"b": None}})
