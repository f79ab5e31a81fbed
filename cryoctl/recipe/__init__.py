"""Recipes: strict YAML, `--set`, validation against a protocol's model in single sentences, schemas for editors."""

from __future__ import annotations

from cryoctl.recipe.canonical import to_yaml
from cryoctl.recipe.loading import RESERVED, SCHEMA_VERSION, RawRecipe, load_recipe, parse_recipe
from cryoctl.recipe.overrides import Override, apply_override, parse_override, parse_overrides
from cryoctl.recipe.resolved import resolved_yaml
from cryoctl.recipe.schema import copy_recipe, copy_text, modeline, schema_for
from cryoctl.recipe.strict_yaml import Document, Plain, read_document
from cryoctl.recipe.validation import validate, validate_data
from cryoctl.recipe.wording import nearest, sentence

__all__ = [
    "RESERVED",
    "SCHEMA_VERSION",
    "Document",
    "Override",
    "Plain",
    "RawRecipe",
    "apply_override",
    "copy_recipe",
    "copy_text",
    "load_recipe",
    "modeline",
    "nearest",
    "parse_override",
    "parse_overrides",
    "parse_recipe",
    "read_document",
    "resolved_yaml",
    "schema_for",
    "sentence",
    "to_yaml",
    "validate",
    "validate_data",
]
