"""Every class of bad input that concerns files, YAML, numbers and quantities: one sentence, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from cryoctl.errors import BadInput, FileProblem, RecipeError
from cryoctl.recipe import RawRecipe, load_recipe, parse_recipe, validate
from cryoctl.units import Degrees, DosePerA2, Metres, StrictModel

HEAD = "schema_version: 1\nprotocol: edx-tomography\n"


class Symmetric(StrictModel):
    scheme: Literal["dose-symmetric"]
    step_deg: Annotated[Degrees, Field(gt=0)] = 3.0


class Listed(StrictModel):
    scheme: Literal["list"]
    list_deg: Annotated[list[Degrees], Field(min_length=1)]


class Dose(StrictModel):
    limit_e_per_a2: Annotated[DosePerA2, Field(gt=0)] = 5e4
    per_tilt_e_per_a2: DosePerA2 | list[DosePerA2] = 1e3
    split: Literal["equal", "geometry"] = "equal"


class Image(StrictModel):
    shape: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = (128, 128)
    pixel_size_m: Annotated[Metres, Field(gt=0)] = 1e-8
    gain: float = 1.0
    save: bool = True


class Target(StrictModel):
    name: str
    x_m: Metres = 0.0


class Parameters(StrictModel):
    tilts: Annotated[Symmetric | Listed, Field(discriminator="scheme")] = Symmetric(scheme="dose-symmetric")
    dose: Dose = Dose()
    image: Image = Image()
    targets: list[Target] = Field(default_factory=list[Target])


def refused(text: str | bytes, *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        validate(Parameters, parse_recipe(text, "my.yaml", overrides))
    assert isinstance(caught.value, RecipeError)
    message = str(caught.value)
    assert len(message) <= 300
    assert "\n" not in message
    assert message == caught.value.message
    message.encode("cp1252")
    return message


BOMB = "a: &a [x, x]\n" + "".join(f"a{i}: &a{i} [*a, *a]\n" for i in range(9))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["my.yaml", "empty", "schema_version"]),
        ("# only a comment\n", ["empty"]),
        ("---\n", ["empty"]),
        ("null\n", ["empty"]),
        ("- 1\n- 2\n", ["a list", "name: value"]),
        ("just text\n", ["the text", "name: value"]),
        (HEAD + "---\n" + HEAD, ["my.yaml:3", "second document"]),
        (HEAD + "dose: {}\ndose: {}\n", ["my.yaml:4", "dose", "twice", "line 3"]),
        (HEAD + "dose: {limit_e_per_a2: 1, limit_e_per_a2: 2}\n", ["my.yaml:3", "dose.limit_e_per_a2", "twice"]),
        (
            HEAD + "dose:\n  limit_e_per_a: 3\n",
            ["my.yaml:4", "dose.limit_e_per_a ", "did you mean 'dose.limit_e_per_a2'"],
        ),
        (HEAD + "imge: {}\n", ["my.yaml:3", "did you mean 'image'"]),
        (HEAD.encode() + b"title: \xff\xfe\n", ["my.yaml:3", "UTF-8"]),
        ((HEAD + "a: 1\n").encode("utf-16"), ["UTF-8"]),
        (HEAD + "x: !!python/object/apply:os.system [ls]\n", ["my.yaml:3", "tag"]),
        (HEAD + "x: !!int '3'\n", ["tag"]),
        (HEAD + "x: ! y\n", ["tag"]),
        ("%TAG ! tag:x,2000:\n---\n" + HEAD, ["%TAG"]),
        (HEAD + BOMB, ["my.yaml:3", "anchor"]),
        (HEAD + "x: *y\n", ["alias"]),
        (HEAD + "x: \0\n", ["my.yaml"]),
        (HEAD + "x: \ud800\n", ["my.yaml"]),
        (HEAD + "image:\n\tgain: 1\n", ["my.yaml:4", "tab"]),
        (HEAD + "image: [1, 2\n", ["my.yaml", "not YAML"]),
        (HEAD + "x: " + "[" * 100 + "]" * 100, ["nested deeper"]),
        (HEAD + "x: " + "[" * 100_000, ["my.yaml"]),
        (HEAD + "? [a]\n: 1\n", ["key"]),
        (HEAD + "'': 1\n", ["empty key"]),
        (HEAD + "#" * 2_000_001, ["larger than 2 MB"]),
        ("protocol: edx-tomography\n", ["schema_version is missing"]),
        ("schema_version: 2\nprotocol: x\n", ["my.yaml:1", "found 2", "update cryoctl"]),
        ("schema_version: '1'\nprotocol: x\n", ["found the text '1'"]),
        ("schema_version: true\nprotocol: x\n", ["found true"]),
        ("schema_version: 1\n", ["protocol is missing"]),
        ("schema_version: 1\nprotcol: x\n", ["protocol is missing", "'protcol'"]),
        ("schema_version: 1\nprotocol: 3\n", ["protocol", "found 3"]),
        (HEAD + "simulation: 3\n", ["simulation", "mapping"]),
        (HEAD + "image: {pixel_size_m: '1e-8'}\n", ["my.yaml:3", "image.pixel_size_m", "quoted text '1e-8'", "unit"]),
        (HEAD + "image: {gain: '1'}\n", ["image.gain", "remove the quotes"]),
        (HEAD + "image: {shape: ['1', 1]}\n", ["image.shape[0]", "remove the quotes"]),
        (HEAD + "image: {save: on}\n", ["image.save", "true or false", "write true"]),
        (HEAD + "image: {save: no}\n", ["write false"]),
        (HEAD + "image: {save: 1}\n", ["found 1", "true or false"]),
        (HEAD + "image: {save: 'true'}\n", ["without quotes"]),
        (HEAD + "image:\n  pixel_size_m: 2,5 nm\n", ["decimal point"]),
        (HEAD + "image:\n  gain: 2,5\n", ["decimal point"]),
        (HEAD + "image: {gain: 2,5}\n", ["decimal point"]),
        (HEAD + "image: {pixel_size_m: 20 kV}\n", ["a voltage", "a length"]),
        (HEAD + "image: {pixel_size_m: 1:30}\n", ["a length"]),
        (HEAD + "image: {pixel_size_m: 1_0}\n", ["a length"]),
        (HEAD + "image: {gain: .nan}\n", ["my.yaml:3", "image.gain", "finite"]),
        (HEAD + "image: {gain: -.inf}\n", ["finite"]),
        (HEAD + "image: {gain: nan}\n", ["the text 'nan'", "a number"]),
        (HEAD + "image: {gain: 1e999}\n", ["too large"]),
        (HEAD + "image: {gain: 1e-999}\n", ["too small"]),
        (HEAD + f"image: {{shape: [{'9' * 30}, 1]}}\n", ["30 digits"]),
        (HEAD + f"image: {{shape: [{'9' * 5000}, 1]}}\n", ["5000 digits"]),
        (HEAD + "image: {gain: true}\n", ["found true", "a number"]),
        (HEAD + "image: {shape: [true, 1]}\n", ["image.shape[0]", "found true"]),
        (HEAD + "image: {shape: [1.5, 1]}\n", ["whole number"]),
        (HEAD + "image: {shape: [0, 1]}\n", ["found 0", "above 0"]),
        (HEAD + "image: {shape: 5}\n", ["a list"]),
        (HEAD + "image: {pixel_size_m: 1e9}\n", ["beyond reason"]),
        (HEAD + "dose: {limit_e_per_a2: 0}\n", ["found 0", "above 0"]),
        (HEAD + "dose: {per_tilt_e_per_a2: [1, x]}\n", ["dose.per_tilt_e_per_a2[1]", "a dose is wanted"]),
        (HEAD + "dose: {split: equl}\n", ["did you mean 'equal'"]),
        (HEAD + "dose:\n", ["found nothing", "mapping"]),
        (HEAD + "tilts: {scheme: list, list_deg: [1], step_deg: 2}\n", ["tilts.step_deg", "not a field"]),
        (HEAD + "tilts: {scheme: lst}\n", ["scheme is 'lst'", "did you mean 'list'"]),
        (HEAD + "tilts: {scheme: list}\n", ["tilts.list_deg", "missing"]),
        (HEAD + "targets: [{nme: a}]\n", ["targets[0].nme", "did you mean 'targets[0].name'"]),
        (HEAD + "targets: [{name: 3}]\n", ["targets[0].name", "quotes"]),
        (HEAD + "\u03bc" * 500 + ": 1\n", ["not a field"]),
        (HEAD + "x" * 1000 + ": 1\n", ["not a field"]),
        (HEAD + "x" * 5000 + ": 1\n", ["my.yaml:3"]),
    ],
)
def test_bad_recipes_are_refused_in_one_sentence(text: str | bytes, says: list[str]) -> None:
    message = refused(text)
    for words in says:
        assert words in message


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("image.pixel_siz_m=2 um", ["--set", "did you mean 'image.pixel_size_m'"]),
        ("image.shape[7]=5", ["no element [7]", "[0] to [1]"]),
        ("image.shape.x=5", ["is a list"]),
        ("targets[0].name=x", ["set it as a whole"]),
        ("image.gain.x=1", ["has no fields"]),
        ("image[0]=1", ["is a mapping"]),
        ("image", ["no '='"]),
        ("image.gain=", ["no value"]),
        ("=3", ["not a path"]),
        ("a..b=3", ["not a path"]),
        ("image.gain='1'", ["remove the quotes"]),
        ("image.gain=*a", ["alias"]),
        ("image.gain=[1", ["not YAML"]),
        ("image.save=on", ["write true"]),
        ("image.gain=.inf", ["finite"]),
        ("protocol=x", ["belongs to the file"]),
        ("a.b.c=1", ["a (--set)", "not a field"]),
        (".".join("abcdefghijklmnopqrstuvwxyz") + "=1", ["deeper"]),
    ],
)
def test_bad_overrides_are_refused_in_one_sentence(override: str, says: list[str]) -> None:
    message = refused(HEAD + "image: {shape: [64, 64], gain: 2.0}\n", override)
    for words in says:
        assert words in message


def good(text: str | bytes, *overrides: str) -> Parameters:
    return validate(Parameters, parse_recipe(text, "my.yaml", overrides))


@pytest.mark.parametrize(
    "data",
    [
        (HEAD + "image: {pixel_size_m: 1e-6}\n").encode("utf-8-sig"),
        (HEAD + "image: {pixel_size_m: 1e-6}\n").replace("\n", "\r\n").encode(),
        (HEAD + "image: {pixel_size_m: 1 \u00b5m}\n").encode(),
        (HEAD + "image: {pixel_size_m: 1 \u03bcm}\n").encode(),
        (HEAD + "image: {pixel_size_m: '1 um'}\n").encode(),
        ("---\n" + HEAD + "image:\n  pixel_size_m: 1.0E-6\n...\n").encode(),
        ("\ufeff" + HEAD + "image: {pixel_size_m: 1e-6}\n"),
    ],
)
def test_the_same_recipe_in_other_clothes(data: bytes | str) -> None:
    assert good(data).image.pixel_size_m == 1e-6


def test_numbers_are_those_of_yaml_1_2() -> None:
    raw = parse_recipe(HEAD + "a: 1e-6\nb: 010\nc: 0o10\nd: 1:30\ne: on\nf: .5\ng: 2026-11-20\nh: ~\ni: 1_0\nj: 0x1F\n")
    expected = {"a": 1e-6, "b": 10, "c": 8, "d": "1:30", "e": "on", "f": 0.5, "g": "2026-11-20", "h": None}
    assert raw.parameters == {**expected, "i": "1_0", "j": 31}


def test_overrides_reach_recipe_simulation_and_instrument() -> None:
    raw: RawRecipe = parse_recipe(
        HEAD + "targets: [{name: a}]\nsimulation: {seed: 1}\n",
        "my.yaml",
        [
            "image.pixel_size_m=20 nm",
            "targets[0].x_m=-1 um",
            "image.shape=[64, 32]",
            "targets.0.name=b",
            "simulation.specimen.break_s=null",
            "instrument.devices.beam.driver=x",
            "instrument=mine.yaml",
        ],
    )
    parameters = validate(Parameters, raw)
    assert parameters.image.pixel_size_m == 2e-8
    assert parameters.image.shape == (64, 32)
    assert (parameters.targets[0].name, parameters.targets[0].x_m) == ("b", -1e-6)
    assert raw.simulation == {"seed": 1, "specimen": {"break_s": None}}
    assert raw.instrument == "mine.yaml"
    assert [(o.path, o.value) for o in raw.instrument_overrides] == [(("devices", "beam", "driver"), "x")]


def test_a_later_override_wins() -> None:
    assert good(HEAD, "image.gain=2", "image.gain=3").image.gain == 3.0


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(HEAD)
    assert load_recipe(file).protocol == "edx-tomography"
    assert load_recipe(str(file)).origin == "r.yaml"
    for source, words in [
        (tmp_path, "is a folder"),
        (tmp_path / "q.yaml", "did you mean 'r.yaml'"),
        (tmp_path / "none" / "q.yaml", "does not exist"),
        (str(file) + "/x.yaml", "q"),
        ("a\0b.yaml", "not the name of a file"),
        ("x" * 5000 + ".yaml", "can't be read"),
        ("", "not the name of a file"),
    ]:
        with pytest.raises(FileProblem) as caught:
            load_recipe(source)
        assert len(str(caught.value)) <= 300
        if words != "q":
            assert words in str(caught.value)
    with pytest.raises(RecipeError, match="is not a bundled recipe"):
        load_recipe("no-such-recipe-anywhere")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything; permissions are POSIX")
def test_an_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(HEAD)
    file.chmod(0)
    with pytest.raises(FileProblem, match="can't be read"):
        load_recipe(file)


@pytest.mark.parametrize("module", ["cryoctl.recipe", "cryoctl.registry", "cryoctl.instrument", "cryoctl.calibration"])
def test_imports_are_light_in_any_order(module: str) -> None:
    heavy = "{'numpy', 'h5py', 'scipy', 'numba', 'skimage', 'matplotlib'}"
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
