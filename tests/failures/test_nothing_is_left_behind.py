"""Bad input that shows late, followers that fail, analyses that fail: what is on disk afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cryoctl.clock import now_s
from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.own_loop import in_own_loop
from cryoctl.launch.paths import claim
from cryoctl.launch.request import RunRequest
from cryoctl.launch.run import run

SMALL = (
    "tilts.step_deg=60",
    "image.shape=[16,24]",
    "track.every=0",
    "focus.every=0",
    "search.enabled=false",
    "eucentric.enabled=false",
    "live.enabled=false",
)


def wanted(out: Path, *overrides: str, **more: Any) -> RunRequest:
    return RunRequest(recipe="edx-tomography", out=out, overrides=(*SMALL, *overrides), **more)


@pytest.mark.parametrize("world", ["bad.bin", "folder", "absent/world.bin"])
def test_a_bad_world_leaves_nothing(tmp_path: Path, world: str) -> None:
    (tmp_path / "bad.bin").write_bytes(b"no world")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput) as caught:
        run(wanted(tmp_path / "new" / "out", world=tmp_path / world, events=tmp_path / "events.jsonl"))
    assert sorted(tmp_path.rglob("*")) == before
    assert caught.value.message.count("give another" if world != "absent/world.bin" else "another place") == 1


def test_events_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileProblem):
        run(wanted(tmp_path / "out", events=tmp_path / "absent" / "events.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_claims_that_meet_get_two_numbers_and_a_kept_one_is_not_given_back(tmp_path: Path) -> None:
    first, second = claim(tmp_path / "out", "recipe", 3), claim(tmp_path / "out", "recipe", 3)
    assert [one.run_file.name for one in (first, second)] == ["recipe_3_001.nxs", "recipe_3_002.nxs"]
    second.run_file.touch()
    first.give_back()
    second.give_back()
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["recipe_3_002.nxs", "recipe_3_002.parts"]


class Failing:
    """A display with a bug, at the moment named."""

    def __init__(self, when: str) -> None:
        self._when = when

    def _maybe(self, when: str) -> None:
        if when == self._when:
            raise RuntimeError(f"display fails at {when}")

    def begin(self, head: Any, outlook: Any) -> None:
        self._maybe("begin")

    def event(self, event: Any) -> None:
        self._maybe("event")

    def picture(self, picture: Any) -> None:
        self._maybe("picture")

    def end(self, summary: Any) -> None:
        self._maybe("end")


def test_failing_followers_and_analyses_cost_neither_run_nor_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise ValueError("an analysis with a bug")

    monkeypatch.setattr("cryoctl.engine.finish._series", broken)
    followers: Any = [Failing(when) for when in ("begin", "event", "picture", "end")]
    result = run(wanted(tmp_path), followers)
    assert result.exit_code == 0
    assert result.run_file is not None
    assert result.summary["frames"] == 3
    warnings = " ".join(result.summary["warnings"])
    assert "an analysis with a bug" in warnings
    assert "display fails at end" in warnings
    journal = result.run_file.with_suffix(".parts") / "journal.jsonl"
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    faults = [record["message"] for record in told if record["k"] == "event" and record["event"] == "fault"]
    assert [any(f"fails at {when}" in one for one in faults) for when in ("begin", "event", "picture")] == [True] * 3


def test_a_specimen_that_has_had_its_dose_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    first = run(wanted(tmp_path, "dose.limit_e_per_a2=5000"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match="received"):
        run(wanted(tmp_path, "dose.limit_e_per_a2=3500", specimen=str(first.run_file)))
    assert sorted(tmp_path.rglob("*")) == before
    more = run(wanted(tmp_path, "dose.limit_e_per_a2=20000", specimen=str(first.run_file)))
    assert more.exit_code == 0
    assert more.summary["dose"]["peak"] > 1.9 * first.summary["dose"]["peak"]


def test_a_notebook_that_is_interrupted_stops_the_run_and_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def experiment() -> None:
        try:
            await asyncio.sleep(5.0)
        except asyncio.CancelledError:
            seen.append("told to stop")
            await asyncio.sleep(0.1)
            seen.append("safe")
            raise

    async def notebook() -> None:
        from concurrent.futures import Future

        def interrupted(self: Any, timeout: float | None = None) -> Any:
            import time

            time.sleep(0.3)
            raise KeyboardInterrupt

        monkeypatch.setattr(Future, "result", interrupted)
        assert now_s() >= 0
        try:
            in_own_loop(experiment, virtual=False, speed=None)
        except KeyboardInterrupt:
            seen.append("interrupted")

    asyncio.run(notebook())
    assert seen == ["told to stop", "safe", "interrupted"]
