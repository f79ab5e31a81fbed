"""Entry points of a third party, as a distribution lays them on sys.path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cryoctl import registry
from cryoctl.errors import BadInput, FileProblem, InstrumentError, RecipeError
from cryoctl.instrument import load_instrument, parse_instrument
from cryoctl.recipe import copy_recipe, copy_text, load_recipe, schema_for
from cryoctl.units import Metres, StrictModel

Installer = Callable[[str, str, str], None]

DRIVERS = """
from pathlib import Path
from cryoctl.errors import InstrumentError

class Goniometer:
    kind = "stage"
    def check(self, settings):
        if set(settings) - {"port"}:
            raise InstrumentError("settings holds more than port")

goniometer = Goniometer()
RECIPE = Path(__file__).with_name("acme-series.yaml")
NOT_A_FILE = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    def put(name: str, entry_points: str, module: str = "") -> None:
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(entry_points)
        (tmp_path / f"{name}_code.py").write_text(module)
        (tmp_path / "acme-series.yaml").write_text("# Acme\nschema_version: 1\nprotocol: acme\nsize_m: 20 um\n")
        registry.refresh()

    monkeypatch.syspath_prepend(str(tmp_path))
    registry.refresh()
    yield put
    monkeypatch.undo()
    registry.refresh()


ACME = """[cryoctl.devices]
acme-stage = acme_code:goniometer
acme-gone = acme_code:missing
acme-lost = no_such_module_at_all:x
[cryoctl.recipes]
acme-series = acme_code:RECIPE
acme-odd = acme_code:NOT_A_FILE
"""


def test_a_third_party_is_found_and_its_broken_parts_hinder_nothing(install: Installer) -> None:
    install("acme", ACME, DRIVERS)
    assert {"acme-gone", "acme-lost", "acme-stage"} <= set(registry.names("cryoctl.devices"))
    assert registry.find("cryoctl.devices", "acme-stage").kind == "stage"
    assert registry.find("cryoctl.devices", "acme-stage") is registry.find("cryoctl.devices", "acme-stage")
    for name in ("acme-gone", "acme-lost"):
        with pytest.raises(InstrumentError, match=rf"'{name}' of acme 1\.2 can't be loaded") as caught:
            registry.find("cryoctl.devices", name)
        assert len(str(caught.value)) <= 300
    broken = registry.broken("cryoctl.devices")
    assert {"acme-gone", "acme-lost"} <= set(broken)
    assert "acme-stage" not in broken


def test_the_nearest_name_is_offered(install: Installer) -> None:
    install("acme", ACME, DRIVERS)
    with pytest.raises(InstrumentError, match="did you mean 'acme-stage'"):
        registry.find("cryoctl.devices", "acme-stagee")
    with pytest.raises(RecipeError, match="'Acme-Series' is not a bundled recipe: did you mean 'acme-series'"):
        load_recipe("Acme-Series")


def test_two_packages_with_one_name_are_named(install: Installer) -> None:
    install("acme", ACME, DRIVERS)
    install("rival", "[cryoctl.devices]\nacme-stage = rival_code:x\n", "x = 1")
    with pytest.raises(InstrumentError, match=r"offered by .*: uninstall one") as caught:
        registry.find("cryoctl.devices", "acme-stage")
    assert "acme 1.2" in str(caught.value)
    assert "rival 1.2" in str(caught.value)


def test_bundled_recipes_load_and_copy(install: Installer, tmp_path: Path) -> None:
    class Acme(StrictModel):
        size_m: Metres

    install("acme", ACME, DRIVERS)
    assert load_recipe("acme-series").parameters == {"size_m": "20 um"}
    lines = copy_text("acme-series").splitlines()
    assert lines[0] == "schema_version: 1"
    assert lines[1] == "# yaml-language-server: $schema=acme-series.schema.json"
    assert sum(line.startswith("schema_version") for line in lines) == 1
    folder = tmp_path / "out"
    folder.mkdir()
    copied = copy_recipe("acme-series", folder, schema_for(Acme, "acme"))
    assert load_recipe(copied).parameters == load_recipe("acme-series").parameters
    before = copied.read_bytes()
    with pytest.raises(FileProblem, match="exists already"):
        copy_recipe("acme-series", folder, {})
    assert copied.read_bytes() == before
    with pytest.raises(FileProblem, match="can't be written"):
        copy_recipe("acme-series", tmp_path / "nowhere", {})
    with pytest.raises(BadInput, match="is not a file"):
        load_recipe("acme-odd")


def test_drivers_of_an_instrument_are_checked(install: Installer) -> None:
    install("acme", ACME, DRIVERS)
    text = "schema_version: 1\nname: a\nclock: real\ndevices:\n  s: {kind: stage, driver: acme-stage}\n"
    assert parse_instrument(text).file.kinds == ("stage",)
    for old, new, says in [
        ("acme-stage", "acme-stagee", "did you mean 'acme-stage'"),
        ("kind: stage", "kind: beam", "drives a stage"),
        ("acme-stage}", "acme-stage, settings: {prt: 1}}", "more than port"),
        ("acme-stage", "acme-gone", "can't be loaded"),
    ]:
        with pytest.raises(InstrumentError, match=says):
            parse_instrument(text.replace(old, new))
    with pytest.raises(InstrumentError, match="is not a bundled instrument"):
        load_instrument("no-such-instrument")
