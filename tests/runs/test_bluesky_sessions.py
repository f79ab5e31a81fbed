"""Bluesky plans on the simulated microscope: documents, permits, and what stops a beam."""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import h5py
import pytest
from bluesky.protocols import (
    Checkable,
    Configurable,
    Locatable,
    Movable,
    Pausable,
    Preparable,
    Readable,
    Stageable,
    Stoppable,
    Triggerable,
    WritesStreamAssets,
)
from bluesky.utils import FailedStatus, RunEngineInterrupted

import cryoctl
import cryoctl.bluesky
from cryoctl import open_run
from cryoctl.bluesky import Framing, Session
from cryoctl.bluesky.shots import Shots
from cryoctl.errors import BadInput, DoseRefused, InterlockRefused, Refused, StepLost
from cryoctl.runfile.check import check_run
from cryoctl.runfile.journal import load_journal
from tests.runs.bluesky_sessions import check_documents, engine_of, opened, random_session


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A RunEngine logs each plan that fails, with its traceback."""
    caplog.set_level("CRITICAL", logger="bluesky")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One for tests that leave it as it was."""
    with opened(tmp_path_factory.mktemp("session"), dose__limit_e_per_a2=1e5) as one:
        yield one


def records(session: Session, *kinds: str) -> list[dict[str, Any]]:
    journal = session.run_file.with_suffix(".parts") / "journal.jsonl"
    return [dict(one) for one in load_journal(journal).records if one["k"] in kinds]


def test_documents_of_a_scan_are_valid_and_lead_to_its_pictures(tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        engine, told = engine_of(session)
        haadf, edx, tilt = session.devices.pictures["haadf"], session.devices.edx, session.devices.tilt
        engine(bp.scan([haadf, edx, session.devices.temperature], tilt, -20, 20, 3))
        engine(bp.count([haadf]))
    check_documents(told)
    assert Counter(name for name, _ in told) == Counter(
        start=2, descriptor=2, stream_resource=3, stream_datum=7, event=4, stop=2
    )
    events = [document["data"] for name, document in told if name == "event"]
    assert [event["haadf_exposure"] for event in events] == [0, 1, 2, 3], "EDX is taken along, not exposed again"
    assert [round(event["tilt"], 3) for event in events[:3]] == [-20.0, 0.0, 20.0]
    resources = {document["uid"]: document for name, document in told if name == "stream_resource"}
    rows = [
        (resources[document["stream_resource"]], document["indices"]["start"])
        for name, document in told
        if name == "stream_datum" and resources[document["stream_resource"]]["data_key"] == "haadf"
    ]
    for event, (resource, row) in zip(events, rows, strict=True):
        with h5py.File(resource["uri"].removeprefix("file://localhost")) as file:
            assert file[resource["parameters"]["dataset"]][row].mean() == pytest.approx(event["haadf_mean"])
    with open_run(session.run_file) as run:
        assert list(run.image.sha256) == [event["haadf_sha256"] for event in events]
        assert list(run.edx.spectra.sum(axis=1)) == [event.get("edx_counts", 0) for event in events]
    assert check_run(session.run_file).ok


def test_devices_are_what_bluesky_asks_of_them(session: Session) -> None:
    devices = session.devices
    settable = (Readable, Movable, Checkable)
    for one in (devices.x, devices.y, devices.z, devices.tilt, devices.temperature):
        assert all(isinstance(one, kind) for kind in (*settable, Locatable, Stoppable))
    for one in (devices.pictures["haadf"], devices.edx):
        wanted = (Readable, Triggerable, Stageable, Stoppable, Pausable, Configurable, Preparable, WritesStreamAssets)
        assert all(isinstance(one, kind) for kind in wanted)
    for one in (devices.bias, devices.needle):
        assert all(isinstance(one, kind) for kind in settable)
    engine, told = engine_of(session)
    engine(bp.count([devices.x, devices.needle, devices.bias, devices.temperature]))
    check_documents(told)
    read = next(document["data"] for name, document in told if name == "event")
    assert read["temperature"] == pytest.approx(95.0, abs=1.0)
    assert read["needle_hold"] == "free"
    assert read["bias_output_on"] is False


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("tilt", 71.0, "tilt_deg"), ("tilt", 76.0, "tilt: 76 deg"), ("x", 2e-3, "x: 0.002 m"), ("temperature", 20.0, "K")],
)
def test_a_value_beyond_the_limits_is_refused_and_nothing_moves(
    session: Session, name: str, value: float, said: str
) -> None:
    before = session.look(lambda views: views.position()).result()
    status = session.devices[name].set(value)
    failure = status.exception(10)
    assert isinstance(failure, BadInput | StepLost)
    assert said in str(failure)
    assert session.look(lambda views: views.position()).result() == before


def test_what_can_not_be_exposed_is_refused_and_the_session_goes_on(session: Session) -> None:
    haadf = session.devices.pictures["haadf"]
    before = haadf.framing
    for changes, said in (
        ({"dwell_s": 10.0}, "dwell_s"),
        ({"shape": (5000, 8)}, "shape"),
        ({"shift_x_m": 1e-3}, "image shift"),
        ({"pixel_size_m": math.nan}, "pixel_size_m"),
        ({"shift_x_m": 7e-6}, "beyond the ledger's map"),
    ):
        haadf.configure(changes)
        failure = haadf.trigger().exception(10)
        haadf.framing = before
        assert isinstance(failure, StepLost | Refused), changes
        assert said in str(failure)
    with pytest.raises(BadInput, match="pixel_sise_m"):
        haadf.configure({"pixel_sise_m": 1e-9})
    assert haadf.trigger().exception(10) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": 5},
        {"shape": (24, 32.5)},
        {"shape": "ab"},
        {"pixel_size_m": "10 nm"},
        {"dwell_s": None},
        {"scans": 1.9},
        {"register": "false"},
        {"kind": ["record"]},
    ],
)
def test_what_is_no_value_of_a_framing_is_refused_in_one_sentence(session: Session, changes: dict[str, Any]) -> None:
    haadf = session.devices.pictures["haadf"]
    before = haadf.framing
    failure = haadf.prepare(changes).exception(10)
    assert isinstance(failure, BadInput)
    assert f"framing.{next(iter(changes))}: found " in str(failure)
    assert haadf.framing == before


def test_what_is_no_number_is_refused_in_one_sentence(session: Session) -> None:
    devices = session.devices
    assert devices.bias is not None
    assert devices.needle is not None
    for asked in (
        devices.tilt.set("3"),
        devices.tilt.set(None),
        devices.bias.set("1 V"),
        devices.bias.limit("1", 1e-6),
        devices.needle.set(1e-6),
        devices.needle.set((0.0, "0", 0.0)),
        devices.needle.step("x", 2.7),
        devices.needle.saw_gap(None, 0.0),
        devices.needle.high_voltage("off"),
    ):
        failure = asked.exception(10)
        assert isinstance(failure, BadInput)
        assert "found" in str(failure) or "allowed" in str(failure)


def test_a_detector_does_not_share_what_was_exposed_elsewhere(session: Session) -> None:
    haadf, edx, tilt = session.devices.pictures["haadf"], session.devices.edx, session.devices.tilt
    assert edx is not None
    for one in (haadf, edx):
        one.stage()
    try:
        first = haadf.trigger().wait(10)
        tilt.set(1.0).wait(10)
        second = edx.trigger().wait(10)
        shared = haadf.trigger().wait(10)
        assert first.exposure < second.exposure
        assert shared.exposure == second.exposure
    finally:
        for one in (haadf, edx):
            one.unstage()
        tilt.set(0.0).wait(10)


def test_more_pixels_than_the_edx_detector_follows_are_refused() -> None:
    shots = Shots(cast(Session, None), "edx", edx_pixels=100)
    with pytest.raises(BadInput, match="edx follows 100"):
        shots.take("edx", "haadf", Framing(shape=(24, 32)))


def test_the_dose_limit_refuses_a_trigger_and_a_smaller_one_is_still_made(tmp_path: Path) -> None:
    with opened(tmp_path, dose__limit_e_per_a2=300.0) as session:
        engine, told = engine_of(session)
        haadf = session.devices.pictures["haadf"]
        haadf.configure({"dwell_s": 1e-3})  # about 120 e-/A^2 each
        with pytest.raises(FailedStatus) as failed:
            engine(bp.count([haadf], 5))
        assert isinstance(failed.value.__cause__, DoseRefused)
        assert "dose.limit_e_per_a2" in str(failed.value.__cause__)
        assert [document["exit_status"] for name, document in told if name == "stop"] == ["fail"]
        haadf.configure({"dwell_s": 1e-6})
        engine(bp.count([haadf]))
    check_documents(told)
    report = check_run(session.run_file)
    assert report.ok
    with open_run(session.run_file) as run:
        assert 100 < run.truth.dose_map_e_per_a2.max() <= 300


@pytest.mark.parametrize("case", [28, 47])
def test_random_scans_never_pass_a_random_limit_nor_count_too_little(case: int, tmp_path: Path) -> None:
    """28 once lay below the truth where two exposures truly overlapped that were put beside each other."""
    found = random_session(case, tmp_path)
    assert found.sound
    assert 0.0 < found.peak <= 1.0
    assert found.ledger_minus_truth >= -1e-9


@pytest.mark.campaign
def test_two_hundred_random_scans(tmp_path: Path) -> None:
    found = [random_session(case, tmp_path / str(case)) for case in range(200)]
    print(f"\nexposures {sum(one.exposures for one in found)}, refused {sum(one.refused for one in found)}")
    print(f"largest true dose {max(one.peak for one in found):.4f} of the limit")
    wrong = [case for case, one in enumerate(found) if not one.sound or one.peak > 1 or one.ledger_minus_truth < -1e-9]
    assert not wrong


def test_nothing_here_holds_a_beam_or_makes_a_permit() -> None:
    """Whoever exposes has to ask the run; what may be seen between steps has no verb that changes anything."""
    folder = Path(cryoctl.bluesky.__file__).parent
    sources = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    assert not re.search(r"\bPermit\b|\.expose\(|\.beam\b|DoseGate", sources)


def test_a_detector_without_a_session_that_runs_exposes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        haadf = session.devices.pictures["haadf"]
    assert isinstance(haadf.trigger().exception(), Refused)
    assert isinstance(session.devices.tilt.set(1.0).exception(5), Refused)
    with open_run(session.run_file) as run:
        assert len(run.exposures.time_s) == 0


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Its exposures take 41 s, at 40 times real time."""
    with opened(tmp_path_factory.mktemp("slow"), speed=40, dose__limit_e_per_a2=1e6) as session:
        session.devices.pictures["haadf"].configure({"shape": (64, 64), "dwell_s": 0.01})
        yield session


class TestStopping:
    """In the middle of something."""

    @staticmethod
    def when_exposing(session: Session, act: Any) -> threading.Thread:
        """Acts once the journal holds the next intent."""
        before = len(records(session, "intent"))

        def wait_and_act() -> None:
            while len(records(session, "intent")) == before:
                threading.Event().wait(0.02)
            act()

        thread = threading.Thread(target=wait_and_act)
        thread.start()
        return thread

    @pytest.mark.parametrize("way", ["abort", "halt", "stop", "plan fails"])
    def test_whatever_ends_a_plan_in_mid_exposure_leaves_the_beam_blanked_and_all_safe(
        self, slow: Session, way: str
    ) -> None:
        engine, told = engine_of(slow)
        haadf = slow.devices.pictures["haadf"]
        safe_before = len(records(slow, "safe_state"))
        failing = threading.Event()

        def fails() -> Any:
            yield from bps.open_run()
            yield from bps.trigger(haadf, group="picture")
            while not failing.is_set():
                yield from bps.sleep(0.01)
            raise ValueError("the plan's own")

        act = failing.set if way == "plan fails" else getattr(engine, way)
        acting = self.when_exposing(slow, act)
        with pytest.raises(ValueError if way == "plan fails" else RunEngineInterrupted):
            engine(fails() if way == "plan fails" else bp.count([haadf]))
        acting.join()
        assert slow.look(lambda views: views.is_blanked()).result()
        exposed = records(slow, "exposed")[-1]["row"]
        assert exposed["outcome"] == "partial"
        assert exposed["duration_s"] < 41.0
        safe = records(slow, "safe_state")
        assert len(safe) == safe_before + 1
        assert all(action["confirmed"] for action in safe[-1]["actions"])
        assert engine.state == "idle"
        check_documents(told)
        status = {"abort": "abort", "halt": "abort", "stop": "success", "plan fails": "fail"}[way]
        assert [document["exit_status"] for name, document in told if name == "stop"] == [status]

    def test_a_pause_finishes_the_exposure_and_nothing_is_exposed_again(self, slow: Session) -> None:
        engine, told = engine_of(slow)
        haadf = slow.devices.pictures["haadf"]
        haadf.configure({"dwell_s": 0.002})
        exposures = len(records(slow, "intent"))
        acting = self.when_exposing(slow, engine.request_pause)
        with pytest.raises(RunEngineInterrupted):
            engine(bp.count([haadf]))
        acting.join()
        engine.resume()
        haadf.configure({"dwell_s": 0.01})
        assert len(records(slow, "intent")) == exposures + 1
        events = [document["data"] for name, document in told if name == "event"]
        assert [event["haadf_outcome"] for event in events] == ["done"]

    def test_a_stage_stops_and_the_place_is_not_believed_until_it_was_moved_again(self, slow: Session) -> None:
        tilt, haadf = slow.devices.tilt, slow.devices.pictures["haadf"]
        before = len(records(slow, "step"))
        moving = tilt.set(60.0)
        while len(records(slow, "step")) == before:
            threading.Event().wait(0.02)
        tilt.stop()
        assert isinstance(moving.exception(10), StepLost)
        assert isinstance(haadf.trigger().exception(10), StepLost)
        assert slow.look(lambda views: views.position()).result().tilt_deg < 59.0
        assert tilt.set(0.0).exception(10) is None
        haadf.configure({"dwell_s": 1e-6})
        assert haadf.trigger().exception(10) is None
        haadf.configure({"dwell_s": 0.01})


def test_bias_needs_limits_stays_on_between_plans_and_rests_where_one_fails(tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        engine, told = engine_of(session)
        bias = session.devices.bias
        assert bias is not None
        assert isinstance(bias.set(0.1).exception(10), InterlockRefused)
        assert isinstance(bias.limit(50.0, 1e-6).exception(10), BadInput)
        assert bias.limit(1.0, 1e-6).exception(10) is None
        engine(bps.mv(bias, 0.1))
        engine(bp.count([bias]))

        def fails() -> Any:
            yield from bps.checkpoint()
            raise ValueError("the plan's own")

        with pytest.raises(ValueError, match="own"):
            engine(fails())
        engine(bp.count([bias]))
    on, off = (document["data"] for name, document in told if name == "event")
    assert on["bias_output_on"] is True
    assert on["bias_voltage_v"] == pytest.approx(0.1, abs=1e-3)
    assert off["bias_output_on"] is False
    assert "ValueError" in off["bias_stopped_by"]


def test_an_aborted_session_is_safe_and_resume_packs_what_is_left(tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        assert session.devices.pictures["haadf"].trigger().exception(10) is None
        ended = session.abort()
    assert ended.exit_code == 3
    assert isinstance(session.devices.tilt.set(1.0).exception(5), Refused)
    again = cryoctl.resume(session.run_file)
    assert again.exit_code == 0
    assert check_run(session.run_file).ok


def test_a_recipe_of_another_protocol_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a session plays on-request"):
        cryoctl.bluesky.open_session("edx-tomography", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bluesky.protocols", None)
    with pytest.raises(BadInput, match=r"install the extra, `pip install 'cryoctl\[bluesky\]'`"):
        cryoctl.bluesky.open_session(out=tmp_path)


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs/how-to/use-bluesky.md"
    (example,) = re.findall(
        r"```python\n# runnable: tilt_scan.py\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "tilt_scan.py", "exec"), {"__name__": "example"})
    path, peak = capsys.readouterr().out.split()[-2:]
    assert 0 < float(peak) < 50
    with open_run(path) as run:
        assert [round(tilt) for tilt in run.image.tilt_deg] == [-20, 0, 20]
