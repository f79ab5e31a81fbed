"""JSON Schema of recipe files for editors, and what `cryoctl recipes copy NAME` writes."""

from __future__ import annotations

import json
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cryoctl.errors import FileProblem
from cryoctl.recipe.loading import SCHEMA_VERSION
from cryoctl.recipe.source import bundled
from cryoctl.recipe.strict_yaml import decode
from cryoctl.recipe.wording import sentence
from cryoctl.units import quoted

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_for(
    model: type[BaseModel], protocol: str | None = None, simulation: type[BaseModel] | None = None
) -> dict[str, Any]:
    """JSON Schema of a model; with `protocol` that of the whole recipe file, its fixed keys included.

    Quantities are `number | text with a unit` and carry their unit as `x-unit`.
    """
    schema: dict[str, Any] = {"$schema": DIALECT, **model.model_json_schema()}
    if protocol is not None:
        definitions: dict[str, Any] = dict(schema.get("$defs", {}))
        simulated: dict[str, Any] = {"type": "object"}
        if simulation is not None:
            simulated = simulation.model_json_schema()
            definitions.update(simulated.pop("$defs", {}))
        head: dict[str, Any] = {
            "schema_version": {"const": SCHEMA_VERSION, "description": "Version of the recipe's layout."},
            "protocol": {"const": protocol, "description": "The protocol that these parameters belong to."},
            "instrument": {"type": "string", "minLength": 1, "description": "Bundled instrument, or a file."},
            "simulation": {**simulated, "description": "What the simulated specimen and microscope are like."},
        }
        schema["properties"] = {**head, **schema.get("properties", {})}
        schema["required"] = ["schema_version", "protocol", *schema.get("required", [])]
        schema["title"] = f"Recipe of {protocol}"
        if definitions:
            schema["$defs"] = definitions
    _tidy(schema)
    return schema


def _tidy(schema: Any) -> None:
    """Drop the titles that pydantic makes of field names; `Pixel Size M` tells nobody anything."""
    if isinstance(schema, list):
        for one in schema:
            _tidy(one)
    elif isinstance(schema, dict):
        for key, inner in schema.items():
            if key in ("properties", "$defs") and isinstance(inner, dict):
                for named in inner.values():
                    if isinstance(named, dict):
                        named.pop("title", None)
                    _tidy(named)
            elif key not in ("default", "examples", "const", "enum"):
                _tidy(inner)


def modeline(schema_file: str) -> str:
    """The comment by which YAML editors find a schema."""
    return f"# yaml-language-server: $schema={schema_file}"


def copy_text(name: str) -> str:
    """A bundled recipe with `schema_version: 1` in the first line and the schema's modeline in the second."""
    return _copied(bundled("cryoctl.recipes", name), f"{name}.yaml", f"{name}.schema.json")


def _copied(source: Traversable, origin: str, schema_file: str) -> str:
    text = decode(source.read_bytes(), origin)
    rows = [row for row in text.splitlines() if not row.startswith(("schema_version:", "# yaml-language-server:"))]
    while rows and not rows[0].strip():
        rows.pop(0)
    return "\n".join([f"schema_version: {SCHEMA_VERSION}", modeline(schema_file), *rows]) + "\n"


def copy_recipe(name: str, folder: Path, schema: dict[str, Any]) -> Path:
    """Write NAME.yaml and, where it is not there yet, NAME.schema.json; FileProblem rather than overwrite a recipe."""
    return _write(folder / f"{name}.yaml", copy_text(name), folder / f"{name}.schema.json", schema)


def copy_instrument(name: str, folder: Path, schema: dict[str, Any]) -> Path:
    """The same of a bundled instrument file, with instrument.schema.json."""
    text = _copied(bundled("cryoctl.instruments", name), f"{name}.yaml", "instrument.schema.json")
    return _write(folder / f"{name}.yaml", text, folder / "instrument.schema.json", schema)


def _write(target: Path, text: str, beside: Path, schema: dict[str, Any]) -> Path:
    try:
        with target.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        if not beside.exists():
            beside.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8", newline="\n")
    except FileExistsError:
        raise sentence(f"{quoted(str(target), 120)} exists already: move it or copy elsewhere", FileProblem) from None
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        text = f"{quoted(str(target), 120)} can't be written ({reason}): choose a folder that you can write to"
        raise sentence(text, FileProblem) from None
    return target
