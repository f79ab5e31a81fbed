from __future__ import annotations

import pytest

from cryoctl.protocol import Protocol
from cryoctl.recipe.loading import load_recipe
from cryoctl_protocols import recipes
from cryoctl_protocols.biased_series import BiasedSeries
from cryoctl_protocols.calibrate import Calibrate
from cryoctl_protocols.edx_tomography import EdxTomography

BUNDLED: list[tuple[type[Protocol], object]] = [
    (EdxTomography, recipes.EDX_TOMOGRAPHY),
    (Calibrate, recipes.CALIBRATE),
    (BiasedSeries, recipes.BIASED_SERIES),
]


@pytest.mark.parametrize(("protocol", "path"), BUNDLED)
def test_a_bundled_recipe_is_read_and_gives_the_defaults(protocol, path):
    raw = load_recipe(path)
    assert raw.protocol == protocol.name
    given = protocol.Parameters.model_validate(raw.parameters)
    assert given == protocol.Parameters(), "what a recipe shows are the defaults"
    lines = path.read_text().splitlines()
    assert lines[0] == "schema_version: 1"
    assert lines[1].startswith("# yaml-language-server: $schema=")


@pytest.mark.parametrize(("protocol", "path"), BUNDLED)
def test_every_field_has_a_schema(protocol, path):
    schema = protocol.Parameters.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]


def test_settings_of_the_command_line_reach_it():
    raw = load_recipe(recipes.EDX_TOMOGRAPHY, ["dose.limit_e_per_a2=2.05e4", "tilts.scheme=bidirectional"])
    given = EdxTomography.Parameters.model_validate(raw.parameters)
    assert given.dose.limit_e_per_a2 == 2.05e4
    assert given.tilts.scheme == "bidirectional"
