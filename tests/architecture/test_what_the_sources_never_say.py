"""Rules that a reader of the sources can check: one clock, no chance, no step in a `finally`, no verb that unblanks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLOCKED = ("cryoctl/engine", "cryoctl/dose", "cryoctl/steps", "protocols/cryoctl_protocols", "simulators")
"""Time is the loop's (`cryoctl.clock`) in all of these."""
PURE = ("protocols/cryoctl_protocols",)
"""No time, chance, file or environment: all of that enters as a step."""
CLOCKS = {"time", "datetime", "random", "secrets", "uuid"}
OUTSIDE = {"os", "io", "pathlib", "tempfile", "socket", "subprocess", "threading", "numpy"}


def sources(*folders: str, holding: str = "") -> Iterator[tuple[str, ast.Module]]:
    """Name and tree of each file; of those only whose text holds something, for parsing all takes a while."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if holding in path.read_text(encoding="utf-8"):
                yield path.relative_to(ROOT).as_posix(), parsed(path)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def clocks_of(tree: ast.AST) -> set[str]:
    return imported(tree) & CLOCKS


def chance_of(tree: ast.AST) -> list[int]:
    """Lines where a generator without a seed, or numpy's own one, is asked."""
    lines: list[int] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        said = ast.unparse(node.func).replace("numpy.", "np.")
        unseeded = said == "np.random.default_rng" and not node.args and not node.keywords
        own = said.startswith("np.random.") and said.count(".") == 2 and said[10:11].islower()
        if unseeded or (own and said != "np.random.default_rng"):
            lines.append(node.lineno)
    return lines


def yields_in_finally(tree: ast.AST) -> list[int]:
    return [
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for statement in node.finalbody
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Yield | ast.YieldFrom)
    ]


def sets_walked(tree: ast.AST) -> list[int]:
    """Lines that iterate over a set as it is written down: its order hangs on the hash seed."""
    walks = [node.iter for node in ast.walk(tree) if isinstance(node, ast.For | ast.comprehension)]
    return [
        one.lineno
        for one in walks
        if isinstance(one, ast.Set | ast.SetComp)
        or (isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in ("set", "frozenset"))
    ]


def test_nothing_but_the_loop_tells_the_time() -> None:
    found = {name: clocks_of(tree) for name, tree in sources(*CLOCKED) if clocks_of(tree)}
    assert not found
    only = [name for name, tree in sources("cryoctl/clock") if clocks_of(tree)]
    assert only == ["cryoctl/clock/virtual.py", "cryoctl/clock/wall.py"], "what lets real time pass, and the date"


def test_the_date_is_asked_at_one_place() -> None:
    """So that the clock's jumps can be rehearsed."""
    told = {
        name
        for name, tree in sources("cryoctl", "protocols", "simulators", "drivers", holding=".now(")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("datetime.now", "datetime.utcnow", "time.time")
    }
    assert told == {"cryoctl/clock/wall.py"}


def test_no_chance_without_a_seed() -> None:
    assert not {name: chance_of(tree) for name, tree in sources(*CLOCKED) if chance_of(tree)}


def test_protocols_are_pure() -> None:
    for name, tree in sources(*PURE):
        assert not imported(tree) & OUTSIDE, name
        assert not yields_in_finally(tree), name
        assert not sets_walked(tree), name
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input", "eval", "exec", "hash", "id"}, name


def test_no_verb_opens_a_beam_but_expose() -> None:
    """Neither an interface nor a simulated device has a method that unblanks; the engine calls none."""
    for name, tree in sources("cryoctl/interfaces", "cryoctl/engine", "simulators", "drivers"):
        methods = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert not [one for one in methods if "unblank" in one or one.startswith("open_beam")], name


def test_permits_are_made_by_the_gate_alone() -> None:
    makers = {
        name
        for name, tree in sources("cryoctl", "protocols", "simulators", "drivers", holding="Permit(")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Permit"
    }
    assert makers == {"cryoctl/dose/permits.py", "cryoctl/dose/unknown.py", "cryoctl/testing/beam.py"}


def test_exposures_are_made_by_the_engine_alone() -> None:
    callers = {
        name
        for name, tree in sources("cryoctl", "protocols", "simulators", "drivers", holding=".expose(")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func) == "beam.expose"
    }
    assert callers <= {"cryoctl/engine/beam_time.py"} | {
        name for name in callers if name.startswith("cryoctl/testing/")
    }
    assert "cryoctl/engine/beam_time.py" in callers


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (clocks_of, "from datetime import datetime"),
        (clocks_of, "import time"),
        (chance_of, "rng = np.random.default_rng()"),
        (chance_of, "x = np.random.normal(3)"),
        (yields_in_finally, "def a():\n try:\n  yield 1\n finally:\n  yield from b()"),
        (sets_walked, "for one in {1, 2}: pass"),
        (sets_walked, "[one for one in set(names)]"),
    ],
)
def test_these_rules_see_what_they_look_for(rule, text) -> None:
    assert rule(ast.parse(text))
