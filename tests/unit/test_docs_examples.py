"""What the documentation shows is true: commands parse, code runs, paths and fields are those of the code."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from cryoctl import open_run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIAL = ROOT / "docs/tutorials/first-tilt-series.md"
RUN = "runs/edx-tomography_0_001.nxs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("generated_reference", ROOT / "docs/_ext/generated_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generated_reference = load_generator()


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def commands_shown() -> list[tuple[str, list[str]]]:
    """(page, arguments) of every `cryoctl ...` in a shell block; comments, redirections and prefixes left out."""
    shown: list[tuple[str, list[str]]] = []
    for page in PAGES:
        for line in "\n".join(blocks(page, "sh")).splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words and Path(words[0]).name == "cryoctl":
                    words = words[: words.index(">")] if ">" in words else words
                    shown.append((page.name, words[1:]))
    return shown


@pytest.mark.parametrize(("page", "arguments"), commands_shown(), ids=" ".join)
def test_every_command_shown_can_be_given(page: str, arguments: list[str]):
    import typer.main

    from cryoctl.cli.command_table import COMMANDS

    name, *rest = arguments
    assert name in COMMANDS, page
    command: Any = typer.main.get_group(import_module(f"cryoctl.cli.{COMMANDS[name].module}").app).commands[name]
    command.make_context(name, rest)  # raises where an option or argument is not known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_and_yaml_shown_can_be_parsed(page: Path):
    for text in blocks(page, "python"):
        ast.parse(text)
    for text in blocks(page, "yaml"):
        yaml.safe_load(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\{doc\}`([^`<>]+)`", text):
        assert (page.parent / f"{target}.md").is_file(), f"{page.name}: {target}"
    if page.name == "README.md":
        for target in re.findall(r"`(docs/[^`]+)`", text):
            assert (ROOT / target).exists(), target


def test_every_page_is_in_a_table_of_contents():
    listed: set[Path] = set()
    for page in PAGES[1:]:
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in tree.splitlines():
                if line and not line.startswith(":"):
                    listed |= set(page.parent.glob(f"{line}.md"))
    assert listed == set(PAGES[1:]) - {ROOT / "docs/index.md"}


def test_a_page_names_no_place_of_a_computer():
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(work|home|tmp|root|Users)/", page.read_text(encoding="utf-8")), page.name


# The tutorial, with fewer tilts


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tutorial was followed up to its run: its own edits, and 3 tilts instead of 9."""
    from cryoctl.cli.main import call

    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first, *_ = blocks(TUTORIAL, "sh")
        assert call(shlex.split(first)[1:]) == 0
        recipe = Path("edx-tomography.yaml")
        data = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        for group, fields in yaml.safe_load(blocks(TUTORIAL, "yaml")[0]).items():
            assert set(fields) <= set(data[group]), "the tutorial changes what the recipe shows"
            data[group].update(fields)
        data["dose"]["limit_e_per_a2"] = 5e4  # YAML 1.1 of the test's reader makes a text of 5e4
        recipe.write_text(yaml.safe_dump(data), encoding="utf-8")
        assert call(["run", str(recipe), "--out", "runs", "--set", "tilts.step_deg=60", "-q"]) == 0
        assert Path(RUN).is_file()
    return folder


def test_the_tutorials_look_reconstruct_and_measure(tutorial, monkeypatch, capsys):
    from cryoctl.cli.main import call

    monkeypatch.chdir(tutorial)
    quoted = "\n".join(blocks(TUTORIAL, "text"))
    assert (
        call(["reconstruct", RUN, "--name", "final", "--element", "Si", "--algorithm", "sirt", "--iterations", "5"])
        == 0
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() in [line.split() for line in quoted.splitlines()], "the head of the table"
    assert printed[-1] == RUN
    for arguments in (["show", RUN], ["show", "runs"], ["measure", "elongation", RUN], ["check", RUN]):
        assert call(arguments) == 0
    printed = capsys.readouterr().out
    names = [line.split("  ")[0] for line in quoted.splitlines() if line.startswith(("dose ", "net counts", "target "))]
    assert names
    assert set(names) <= {line.split("  ")[0] for line in printed.splitlines()}


def test_python_of_the_tutorial_and_of_reading_a_run_runs(tutorial, monkeypatch, capsys):
    monkeypatch.chdir(tutorial)
    run = 0
    for page in (TUTORIAL, ROOT / "docs/how-to/read-a-run-file.md"):
        for text in blocks(page, "python"):
            if "hyperspy" not in text:
                exec(compile(text, page.name, "exec"), {})
                run += 1
    assert run == 2
    assert "completed" in capsys.readouterr().out


@pytest.mark.peers
def test_hyperspy_opens_a_run_as_shown(tutorial, monkeypatch, capsys):
    monkeypatch.chdir(tutorial)
    names: dict[str, Any] = {}
    for page in (TUTORIAL, ROOT / "docs/how-to/read-a-run-file.md"):
        text, *_ = [one for one in blocks(page, "python") if "hyperspy" in one]
        names = {}
        exec(compile(text, page.name, "exec"), names)
        assert type(names["spectra"]).__name__ == "LazyEDSTEMSpectrum"
        assert len(names["signals"]) <= 3
    with open_run(RUN) as run:
        assert list(names["angles"]) == list(run.image.tilt_deg)
        for element, found in zip(names["windows"], names["maps"], strict=True):
            assert list(np.asarray(found.data).sum(axis=(1, 2))) == list(run.edx.window_counts[element])


def described_paths() -> set[str]:
    page = (ROOT / "docs/reference/run-file.md").read_text(encoding="utf-8")
    found = set(re.findall(r"`(/(?:entry|STREAM|image|edx|reconstruction|results|simulation)/[^`]*)`", page))
    streams = {path for path in found if path.startswith("/STREAM/")}
    found -= streams
    found |= {path.replace("STREAM", name) for path in streams for name in ("image", "search", "focus", "track")}
    return {re.sub(r"\b(NAME|EL|KIND)\b", "*", path).replace("**", "*") for path in found}


def test_every_path_of_a_run_file_is_described_and_there(tutorial):
    h5py = pytest.importorskip("h5py")
    paths: list[str] = []
    with h5py.File(tutorial / RUN) as file:
        file.visititems(lambda name, item: paths.append(f"/{name}") if isinstance(item, h5py.Dataset) else None)
    described = described_paths()
    undescribed = {path for path in paths if not any(fnmatchcase(path, pattern) for pattern in described)}
    assert not undescribed
    own = {pattern for pattern in described if not pattern.startswith(("/search/", "/focus/", "/track/"))}
    # made by `reconstruct` with a stopping rule, by `replay` or by `recover`, or of a needle's run (looked for in
    # tests/runs/test_needle_series.py); hard links, which h5py visits once
    elsewhere = re.compile(
        r"/reconstruction/|/data/(tilt_deg|time_s|exposure|rotation_angle|image_key)$|/replay_of$|/recovered/|/(unconfirmed|scattered)_e_per_a2$"
        r"|/entry/bias/|/monitors/\*/(time_sigma_s|source_time_s|in_compliance|beam_open)$"
        r"|/image/labels$|/simulation/touch/|/results/(particles|half_cycles|unbiased_in_contact|current|contact|jv|dark|ebic|hold|facets|cause)(/|$)"
    )
    linked = re.compile(
        r"^/(edx|entry|image)/(tilt_deg|time_s|exposure|shifts_px|start_time)$|/areas/|/sample/|/sampleID/"
    )
    absent = {one for one in own if not any(fnmatchcase(path, one) for path in paths)}
    assert not {one for one in absent if not elsewhere.search(one) and not linked.search(one)}


def test_every_kind_of_journal_record_is_described(tutorial):
    page = (ROOT / "docs/reference/journal.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", page, re.MULTILINE))
    lines = (tutorial / RUN).with_suffix(".parts").joinpath("journal.jsonl").read_text(encoding="utf-8").splitlines()
    for record in map(json.loads, lines):
        told = set(re.findall(r"[a-z_0-9]+", rows[record["k"]]))
        own = set(record) - {"n", "t", "k", "prev", "sha"}
        assert own <= told, f"{record['k']}: {sorted(own - told)}"


# A protocol of one's own


def test_the_protocol_shown_answers_its_own_test_and_runs(tmp_path, monkeypatch, capsys):
    from cryoctl import registry
    from cryoctl.cli.main import call

    page = ROOT / "docs/how-to/add-a-protocol.md"
    _install(page, tmp_path, "drift-watch")
    (tmp_path / "mine.yaml").write_text(blocks(page, "yaml")[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile((tmp_path / "test_drift_watch.py").read_text(), "test_drift_watch.py", "exec"), {})
    registry.refresh()
    try:
        assert call(["run", "mine.yaml", "--json"]) == 0
    finally:
        monkeypatch.undo()
        registry.refresh()
    told = json.loads(capsys.readouterr().out)
    assert told["results"]["drift"]["rate_m_per_s"] >= 0
    assert told["message"] == "drift measured"


def test_the_instrument_of_the_how_to_keeps_its_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from typer.testing import CliRunner

    from cryoctl import registry
    from cryoctl.cli.devices import app
    from cryoctl.instrument import load_instrument

    page = ROOT / "docs/how-to/add-your-instrument.md"
    _install(page, tmp_path, "lab-gauge")
    devices = yaml.safe_load(load_instrument("simulated").text)
    devices["devices"] |= yaml.safe_load(blocks(page, "yaml")[1])["devices"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(devices, sort_keys=False))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    registry.refresh()
    try:
        answer = CliRunner().invoke(
            app, ["devices", "--check", "--json", "--yes", "--instrument", "mine.yaml", "--only", "gauge"]
        )
    finally:
        monkeypatch.undo()
        registry.refresh()
    told = json.loads(answer.stdout)
    assert answer.exit_code == 0, told
    assert {one["outcome"] for one in told["checks"]} == {"passed"}
    assert any(one["check"] == "reads plausibly" for one in told["checks"])


def _install(page: Path, folder: Path, name: str) -> None:
    """What a page shows as a package of somebody's own: its runnable files and its entry points."""
    for text in blocks(page, "python"):
        found = re.match(r"# runnable: (\S+)\n", text)
        assert found
        (folder / found[1]).write_text(text, encoding="utf-8")
    points = "\n".join(blocks(page, "toml")).replace("[project.entry-points.", "[").replace('"', "")
    installed = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(points.replace("]]", "]"))


# Generated pages


def test_every_mark_is_replaced():
    for page in PAGES[1:]:
        text = page.read_text(encoding="utf-8")
        assert "<!-- generated" not in generated_reference.expand(text)
        assert text.count("generated:") == len(re.findall(r"^<!-- generated: .* -->$", text, re.MULTILINE)), page.name


def leaves(model: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """(path, default) of every plain field of the model's defaults."""
    found: list[tuple[str, Any]] = []
    for name, value in model:
        if isinstance(value, BaseModel):
            found += leaves(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def test_the_recipes_page_holds_every_field_and_its_default():
    from cryoctl_protocols.parameters import EdxTomographyParameters

    page = (ROOT / "docs/reference/recipe-edx-tomography.md").read_text(encoding="utf-8")
    assert not re.search(r"^\|", page, re.MULTILINE), "no table is kept by hand"
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|", generated_reference.expand(page), re.MULTILINE))
    for path, default in leaves(EdxTomographyParameters()):
        if path == "targets" or path.endswith(".scheme"):
            continue
        shown = rows[path].split("`")[1] if "`" in rows[path] else rows[path]
        if isinstance(default, bool) or default is None:
            assert shown == {True: "true", False: "false", None: "null"}[default], path
        elif isinstance(default, int | float):
            assert float(shown) == pytest.approx(default, rel=1e-5), path
        elif isinstance(default, tuple):
            assert shown == f"[{', '.join(map(str, default))}]", path
        else:
            assert shown == (default or "empty"), path
    assert "targets[n].x_m" in rows


def test_every_kind_of_event_stands_on_its_page():
    page = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    sources = [*(ROOT / "cryoctl").rglob("*.py")]
    recorded = {
        kind
        for source in sources
        for kind in re.findall(r"recorder\.(?:event|tell)\(\s*\"(\w+)\"", source.read_text(encoding="utf-8"))
    }
    assert {"state", "frame", "exposure"} <= recorded
    assert told - {"event"} == recorded
