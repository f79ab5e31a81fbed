"""What a window knows of a run, without a window: read from its parts while it goes on, then from its file."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoctl.dose.rasterise import deposit
from cryoctl.errors import FileProblem, RunFileError
from cryoctl.events import Event
from cryoctl.launch.control_server import ControlServer
from cryoctl.reconstruction import live_process, live_slices
from cryoctl.reconstruction.live import LiveReconstruction
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import Journal, read_journal
from cryoctl.runfile.journal_tail import JournalTail
from cryoctl.runfile.parts import RunParts
from cryoctl.runfile.writer import pack
from cryoctl.viewer.model.dose_so_far import UNDER_WAY
from cryoctl.viewer.model.going_run import GoingRun
from cryoctl.viewer.model.known import Known, Phase
from cryoctl.viewer.model.operator import Answer, tell
from cryoctl.viewer.model.particle_areas import LiveAreas, particles_of
from cryoctl.viewer.model.watched import SILENT_S, Watched
from tests.unit.runfile.synthetic_run import LINES_EV, synthetic_run


def lines_of(run_file: Path) -> list[bytes]:
    return RunParts.beside(run_file).journal.read_bytes().splitlines(keepends=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path, ended=False)


class Listening:
    """The run's own end of its control socket, and a clock that the test moves on."""

    def __init__(self, run_file: Path) -> None:
        self.heard: list[tuple[str, str]] = []
        self.server = ControlServer(run_file.parent)
        self.server.named(run_file)
        self.server.listen(lambda command, source, text, who: self.heard.append((command, source)))


@pytest.fixture
def listening(run: Path) -> Iterator[Listening]:
    one = Listening(run)
    yield one
    one.server.close()


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0  # each look asks anew
        return self.now_s


def plain(known: Known) -> dict[str, Any]:
    """Everything that a window draws, as plain values."""
    shots = {name: (shot.index, shot.tilt_deg, shot.image.tolist()) for name, shot in known.shots.items()}
    maps = {name: one.tolist() for name, one in known.maps.maps.items()} if known.maps is not None else None
    traces = {name: (one.unit, one.time_s.tolist(), one.value.tolist()) for name, one in known.traces.items()}
    return {
        "shots": shots,
        "maps": maps,
        "traces": traces,
        "dose": (known.dose.peak, known.dose.limit, dict(known.dose.by_kind)),
        "happenings": known.happenings,
        "where": (known.status, known.label, known.time_s, known.frames),
    }


def test_a_journal_is_read_as_it_grows_each_line_once_and_whole(run: Path, tmp_path: Path) -> None:
    lines = lines_of(run)
    path = tmp_path / "journal.jsonl"
    tail = JournalTail(path)
    assert tail.more() == []
    found: list[dict[str, Any]] = []
    with path.open("wb", buffering=0) as file:
        for line in lines:
            file.write(line[:-20])
            found += tail.more()
            file.write(line[-20:])
    found += tail.more()
    assert found == read_journal(path)
    assert tail.more() == []


def test_a_record_that_does_not_fit_the_chain_is_told_and_what_came_before_stays(run: Path, tmp_path: Path) -> None:
    lines = lines_of(run)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(lines[:10]))
    tail = JournalTail(path)
    assert len(tail.more()) == 10
    with path.open("ab") as file:
        file.write(lines[11])
    with pytest.raises(RunFileError, match="record 10"):
        tail.more()


def test_who_comes_late_knows_what_was_known_all_along(run: Path) -> None:
    parts = RunParts.beside(run)
    lines = lines_of(run)
    early = GoingRun(run)
    parts.journal.write_bytes(b"")
    for first in range(0, len(lines), 7):
        with parts.journal.open("ab") as file:
            file.write(b"".join(lines[first : first + 7]))
        early.more()
    late = GoingRun(run)
    late.more()
    assert plain(early.known()) == plain(late.known())
    assert late.known().frames == 5
    assert set(late.known().shots) == {"image", "focus", "search"}
    early.close()
    late.close()


def test_dose_is_that_of_the_run_file_and_its_shares_add_up(run: Path) -> None:
    going = GoingRun(run)
    going.more()
    dose = going.known().dose
    maps = RunFold.of(read_journal(RunParts.beside(run).journal)).dose_by_kind()
    assert dose.peak == pytest.approx(float(sum(maps.values()).max()))
    assert sum(dose.by_kind.values()) == pytest.approx(dose.peak)
    assert dose.by_kind["record"] == pytest.approx(5 * 800.0)
    going.close()


def test_an_exposure_under_way_counts_at_its_most_and_is_told_apart(tmp_path: Path) -> None:
    going = GoingRun(synthetic_run(tmp_path, ended=False, crash_in_exposure=True))
    going.more()
    assert going.known().dose.by_kind[UNDER_WAY] == pytest.approx(800.0)
    assert going.known().dose.peak == pytest.approx(6 * 800.0)
    going.close()


def test_an_exposure_that_is_charged_again_counts_once(run: Path) -> None:
    going = GoingRun(run)
    going.more()
    one = going.fold.exposures[max(going.fold.exposures)]
    more = [{**rect, "dose_e_per_a2": 1.5 * float(rect["dose_e_per_a2"])} for rect in one.deposits]
    journal, _ = Journal.reopen(RunParts.beside(run).journal)
    journal.append("exposed", {"exposure": max(going.fold.exposures), "row": one.row, "deposits": more}, t=99.0)
    journal.close()
    going.more()
    assert going.known().dose.by_kind["record"] == pytest.approx(5.5 * 800.0)
    laid = np.zeros(going.fold.grid.shape)
    for exposure in going.fold.exposures.values():
        for rect in exposure.deposits:
            deposit(laid, going.fold.grid, **{key: float(value) for key, value in rect.items()})
    assert going.known().dose.peak == pytest.approx(float(laid.max()))
    going.close()


def test_element_maps_count_what_lies_in_the_windows(run: Path) -> None:
    going = GoingRun(run)
    going.more()
    maps = going.known().maps
    assert maps is not None
    assert list(maps.maps) == list(LINES_EV)
    assert {one.shape for one in maps.maps.values()} == {(24, 32)}
    last = read_journal(RunParts.beside(run).journal)
    counted = [record for record in last if record["k"] == "frame" and record["edx"]][-1]["edx"]["counts"]
    # A third of the events of three lines, of which the 160 eV window of a 40 eV sigma line holds 95 %.
    assert float(maps.maps["Si"].sum()) == pytest.approx(0.95 * sum(counted) / 3, rel=0.15)
    going.close()


def test_it_listens_and_says_how_it_stands(run: Path, listening: Listening) -> None:
    watched = Watched(run, clock=Clock())
    known = watched.look()
    assert known.phase is Phase.RUNNING
    assert known.commands
    journal, _ = Journal.reopen(RunParts.beside(run).journal)
    told = {"event": "interlock", "level": "warning", "name": "nitrogen", "message": "dewar at 2 %", "data": {}}
    journal.append("status", {"status": "paused"}, t=98.0)
    assert watched.look().phase is Phase.PAUSED
    journal.append("event", told | {"data": {"policy": "pause"}}, t=99.0)
    known = watched.look()
    assert known.phase is Phase.ALARM
    assert known.alarm is not None
    assert known.alarm.answerable
    journal.append("event", told | {"level": "info", "data": {"policy": "pause"}, "message": "acknowledged"}, t=99.5)
    journal.append("status", {"status": "running"}, t=99.6)
    journal.close()
    known = watched.look()
    assert known.phase is Phase.RUNNING
    assert known.alarm is None
    watched.close()


def test_a_command_reaches_the_run_and_says_where_it_came_from(run: Path, listening: Listening) -> None:
    answers: list[Answer] = []
    tell(run, "blank", answers.append).join(5.0)
    assert listening.heard == [("blank", "view")]
    assert answers[0].ok


def test_a_command_that_nobody_takes_says_so(run: Path) -> None:
    answers: list[Answer] = []
    tell(run, "blank", answers.append).join(5.0)
    assert not answers[0].ok
    assert "does not listen" in answers[0].message


def test_a_killed_run_is_shown_as_it_was_and_takes_no_commands(run: Path) -> None:
    known = Watched(run).look()
    assert known.phase is Phase.KILLED
    assert not known.commands
    assert "cryoctl resume" in known.message
    assert known.frames == 5
    assert known.shots["image"].image.shape == (24, 32)


def test_a_run_that_writes_but_does_not_answer_is_not_called_killed(run: Path) -> None:
    clock = Clock()
    watched = Watched(run, clock=clock)
    assert watched.look().phase is Phase.KILLED
    journal, _ = Journal.reopen(RunParts.beside(run).journal)
    journal.append("monitor", {"name": "temperature", "unit": "K", "value": 96.0}, t=98.0)
    journal.close()
    assert watched.look().phase is Phase.RUNNING
    clock.now_s += SILENT_S
    assert watched.look().phase is Phase.KILLED
    watched.close()


def test_a_finished_run_is_read_from_its_file_with_or_without_its_parts(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path)
    parts = RunParts.beside(run)
    going = GoingRun(run)
    going.more()
    before = plain(going.known())
    going.close()
    volume = np.zeros((24, 24, 32), np.float32)
    volume[10, 12, 16] = 1.0
    net = {f"edx/maps/{element}": np.full((5, 24, 32), 0.5, np.float32) for element in LINES_EV}
    live = {"reconstruction/live/Si/volume": volume, "reconstruction/live/Si/voxel_size_m": 1e-8}
    pack(run, parts.folder, live | net)
    beside = Watched(run).look()
    parts.folder.rename(tmp_path / "elsewhere")
    alone = Watched(run).look()
    for known in (beside, alone):
        assert known.phase is Phase.ENDED
        assert known.end_reason == "completed"
        after = plain(known)
        assert after["shots"] == before["shots"]
        assert after["traces"] == before["traces"]
        assert after["dose"][0] == pytest.approx(before["dose"][0])
        assert [one.message for one in after["happenings"]] == [one.message for one in before["happenings"]]
        assert known.maps is not None
        assert known.maps.what.startswith("net")
        assert known.slices is not None
        assert known.slices.volumes["Si"].at == (10, 12, 16)
        assert float(known.slices.volumes["Si"].xy[12, 16]) == 1.0


def test_a_run_that_has_ended_is_not_called_so_before_its_file_is_written(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path)
    listens = Listening(run)
    watched = Watched(run, clock=Clock())
    known = watched.look()
    assert (known.phase, known.commands) == (Phase.WRITING, False)
    pack(run, RunParts.beside(run).folder)
    assert watched.look().phase is Phase.ENDED
    listens.server.close()
    watched.close()


def test_a_folder_shows_the_run_that_begins_and_then_the_next(tmp_path: Path) -> None:
    watched = Watched(tmp_path, clock=Clock())
    assert watched.look().phase is Phase.WAITING
    first = synthetic_run(tmp_path, ended=False)
    listens = Listening(first)
    assert watched.look().run_file == first
    assert watched.look().phase is Phase.RUNNING
    (tmp_path / "next").mkdir()
    synthetic_run(tmp_path / "next", ended=False)
    second = tmp_path / "synthetic_1_002.nxs"
    (tmp_path / "next" / "synthetic_1_001.parts").rename(second.with_suffix(".parts"))
    other = Listening(second)
    assert watched.look().run_file == first  # it goes on
    listens.server.close()
    assert watched.look().phase is Phase.KILLED
    assert watched.look().run_file == second
    other.server.close()
    watched.close()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="no run of this name"):
        Watched(tmp_path / "nothing.nxs")
    (tmp_path / "broken.nxs").write_bytes(b"no HDF5")
    watched = Watched(tmp_path / "broken.nxs")
    watched.look()
    assert isinstance(watched.failure, FileProblem)


def test_particle_areas_come_from_events_and_from_results() -> None:
    areas = LiveAreas()
    assert areas.particles() is None
    for k in range(3):
        whole = {"name": ["a", "b"], "area_m2": [1e-14 * (1 + k), 2e-14], "control": [False, True]}
        data = {key: values[: 1 + k] for key, values in whole.items()}
        areas.event(Event(event="particles", time_s=float(k), level="info", name="", message="", data=data))
    live = areas.particles()
    assert live is not None
    assert live.names == ("a", "b")
    assert live.control == (False, True)
    assert live.area_m2[0].tolist() == [1e-14, 2e-14, 3e-14]
    assert np.isnan(live.area_m2[1, 0])
    packed = particles_of({"name": ["a", "b"], "control": [0, 1], "time_s": live.time_s, "area_m2": live.area_m2})
    assert packed is not None
    assert np.array_equal(packed.area_m2, live.area_m2, equal_nan=True)
    assert particles_of({"time_s": [0.0, 1.0], "area_m2": [[1.0]]}) is None


def test_the_child_leaves_slices_of_the_volumes_that_it_gives(tmp_path: Path) -> None:
    path = tmp_path / "live_slices.npz"
    rng = np.random.default_rng(0)
    images = [{"HAADF": rng.poisson(5.0, (12, 8)).astype(np.float32)} for _ in range(3)]
    tilts: queue.Queue[Any] = queue.Queue()
    for k, one in enumerate(images):
        tilts.put(("tilt", 10.0 * k, one, None, 1.0))
    written = threading.Thread(target=live_process.serve, args=(tilts, None, ("HAADF",), (12, 8), {}, path, "wire"))
    here = LiveReconstruction(("HAADF",), (12, 8))
    for k, one in enumerate(images):
        here.add_tilt(10.0 * k, one)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(live_process.os, "nice", lambda by: 0)  # here it is this process
        patched.setattr(live_process.signal, "signal", lambda *_: None)
        patched.setattr(live_process, "_follow_parent", lambda: None)
        patched.setattr(live_slices, "EVERY_S", 0.05)
        patched.setattr(live_slices, "_SHARE", 0.0)
        written.start()
        for _ in range(200):
            found = live_slices.read_slices(path)
            if found is not None and found.tilts == 3:
                break
            threading.Event().wait(0.02)
        tilts.put(("end",))
        written.join(10.0)
    assert found is not None
    assert (found.target, found.tilts) == ("wire", 3)
    volume, cut = here.volumes()["HAADF"], found.volumes["HAADF"]
    z, y, x = cut.at
    assert np.array_equal(cut.xy, volume[z])
    assert np.array_equal(cut.xz, volume[:, y])
    assert np.array_equal(cut.zy, volume[:, :, x])


def test_slices_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "live_slices.npz"
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    live_slices.write_slices(path, live_slices.sliced({"Si": volume}, "wire", 1))

    def full(file: Any, **arrays: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        live_slices.write_slices(path, live_slices.sliced({"Si": 2 * volume}, "wire", 2))
    found = live_slices.read_slices(path)
    assert found is not None
    assert found.tilts == 1
    assert [one.name for one in tmp_path.iterdir()] == ["live_slices.npz"]
    path.write_bytes(path.read_bytes()[:100])
    assert live_slices.read_slices(path) is None
