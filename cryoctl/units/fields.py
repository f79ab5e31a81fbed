"""Types for pydantic models whose fields carry a unit in their name, and the strict model that checks the names.

class Image(StrictModel):
    pixel_size_m: Metres = 1e-8      # a recipe may write 1e-8 or "10 nm"
"""

from __future__ import annotations

import re
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from cryoctl.units.dimensions import DIMENSIONS, TEMPERATURE_DIFFERENCE, Dimension, dimension_of
from cryoctl.units.quantity import NUMBER, parse_quantity

_KEYWORDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


class Quantity:
    """Annotation of a float: text with a unit of this dimension is converted, a number taken as it is."""

    def __init__(self, dimension: Dimension) -> None:
        self.dimension = dimension

    def __repr__(self) -> str:
        return f"Quantity({self.dimension.suffix!r})"

    def convert(self, value: object) -> float:
        if value is None or isinstance(value, dict | list | tuple | set):
            found = "nothing" if value is None else "a mapping" if isinstance(value, dict) else "a list"
            text = "found {found} where {wanted} is wanted: write it like '{example}'"
            words = {"found": found, "wanted": self.dimension.name, "example": self.dimension.example}
            raise PydanticCustomError("quantity_type", text, words)
        return parse_quantity(value, self.dimension)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # What the handler gives holds the bounds of `x_m: Metres = Field(1e-9, gt=0)`, which pydantic applies first.
        return core_schema.no_info_before_validator_function(self.convert, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        number = {_KEYWORDS.get(key, key): value for key, value in handler(schema).items()}
        number["type"] = "number"
        unit = self.dimension.unit
        return {
            "anyOf": [number, {"type": "string", "pattern": text_pattern(self.dimension)}],
            "examples": [self.dimension.example],
            "x-unit": unit,
        }


def text_pattern(dimension: Dimension) -> str:
    """Regular expression (also valid in ECMAScript) of the text that an editor accepts for this dimension."""
    spellings: list[str] = []
    for shown in dimension.shown:
        forms = [shown]
        if shown.startswith("u"):
            forms += ["\u00b5" + shown[1:], "\u03bc" + shown[1:]]
        if "^" in shown:
            forms += [shown.replace("^2", "²").replace("^3", "³"), shown.replace("e-", "e")]
        if "A^2" in shown:
            forms += [shown.replace("A^2", "Å^2"), shown.replace("A^2", "Å²")]
        spellings += [re.sub(r"([\\^$.|?*+()\[\]{}/])", r"\\\1", form) for form in forms]
    if "C" in dimension.shown:
        spellings += ["°C", "degC"]
    return rf"^\s*{NUMBER}\s*(?:{'|'.join(dict.fromkeys(spellings))})\s*$"


Metres = Annotated[float, Quantity(DIMENSIONS["_m"])]
SquareMetres = Annotated[float, Quantity(DIMENSIONS["_m2"])]
CubicMetres = Annotated[float, Quantity(DIMENSIONS["_m3"])]
Seconds = Annotated[float, Quantity(DIMENSIONS["_s"])]
Amperes = Annotated[float, Quantity(DIMENSIONS["_a"])]
Volts = Annotated[float, Quantity(DIMENSIONS["_v"])]
Kelvin = Annotated[float, Quantity(DIMENSIONS["_k"])]
KelvinDifference = Annotated[float, Quantity(TEMPERATURE_DIFFERENCE)]
Degrees = Annotated[float, Quantity(DIMENSIONS["_deg"])]
Radians = Annotated[float, Quantity(DIMENSIONS["_rad"])]
Steradians = Annotated[float, Quantity(DIMENSIONS["_sr"])]
ElectronVolts = Annotated[float, Quantity(DIMENSIONS["_ev"])]
Pascals = Annotated[float, Quantity(DIMENSIONS["_pa"])]
Hertz = Annotated[float, Quantity(DIMENSIONS["_hz"])]
Coulombs = Annotated[float, Quantity(DIMENSIONS["_c"])]
Ohms = Annotated[float, Quantity(DIMENSIONS["_ohm"])]
Farads = Annotated[float, Quantity(DIMENSIONS["_farad"])]
Irradiance = Annotated[float, Quantity(DIMENSIONS["_w_per_m2"])]
Watts = Annotated[float, Quantity(DIMENSIONS["_w"])]
Bytes = Annotated[float, Quantity(DIMENSIONS["_bytes"])]
DosePerA2 = Annotated[float, Quantity(DIMENSIONS["_e_per_a2"])]
DoseRatePerA2 = Annotated[float, Quantity(DIMENSIONS["_e_per_a2_s"])]
PerSquareMetre = Annotated[float, Quantity(DIMENSIONS["_per_m2"])]
PerCubicMetre = Annotated[float, Quantity(DIMENSIONS["_per_m3"])]
PerSecond = Annotated[float, Quantity(DIMENSIONS["_per_s"])]
DegreesPerSecond = Annotated[float, Quantity(DIMENSIONS["_deg_per_s"])]
DriftPerDegree = Annotated[float, Quantity(DIMENSIONS["_m_per_s_per_deg"])]
MetresPerSecond = Annotated[float, Quantity(DIMENSIONS["_m_per_s"])]
MetresPerVolt = Annotated[float, Quantity(DIMENSIONS["_m_per_v"])]
KelvinPerSecond = Annotated[float, Quantity(DIMENSIONS["_k_per_s"])]
VoltsPerSecond = Annotated[float, Quantity(DIMENSIONS["_v_per_s"])]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


def quantities_in(annotation: Any, metadata: tuple[Any, ...] = ()) -> tuple[list[Dimension], bool]:
    """Dimensions that a field's annotation holds anywhere, and whether it also holds a bare float."""
    own = [m.dimension for m in metadata if isinstance(m, Quantity)]
    if own:
        return own, False
    if annotation is float:
        return [], True
    inner_metadata: tuple[Any, ...] = tuple(getattr(annotation, "__metadata__", ()))
    if inner_metadata:
        return quantities_in(get_args(annotation)[0], inner_metadata)
    found: list[Dimension] = []
    bare = False
    for argument in get_args(annotation):
        dimensions, has_float = quantities_in(argument)
        found += dimensions
        bare = bare or has_float
    return found, bare


class StrictModel(BaseModel):
    """Parameters from a person: frozen, unknown keys refused, nan and inf refused, defaults validated too.

    Defining a model fails with TypeError where a field's name and its unit disagree (`width_m: Seconds`, or a bare
    float called `width_m`), so that the conversion that a name promises can't be forgotten. Docstrings beneath fields
    become their descriptions in the JSON Schema.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            wanted = dimension_of(name)
            dimensions, bare = quantities_in(field.annotation, tuple(field.metadata))
            if wanted is not None and bare:
                raise TypeError(f"{cls.__name__}.{name} is a bare float: annotate it with the type for {wanted.name}")
            for dimension in dimensions:
                if wanted is None or wanted.suffix != dimension.suffix:
                    raise TypeError(f"{cls.__name__}.{name} holds {dimension.name}: end its name in {dimension.suffix}")
