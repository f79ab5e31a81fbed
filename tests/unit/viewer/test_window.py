"""The window, offscreen: what it draws of what is known, and what its buttons say to a run."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

if any(importlib.util.find_spec(name) is None for name in ("PySide6", "pyqtgraph")):
    pytest.skip("the window needs the extra `viewer`", allow_module_level=True)
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication, QPushButton

from cryoctl.launch.control_server import ControlServer
from cryoctl.reconstruction.live_slices import sliced
from cryoctl.viewer.model.going_run import GoingRun
from cryoctl.viewer.model.known import Alarm, DoseNow, Happening, Known, Particles, Phase, Trace
from cryoctl.viewer.model.watched import Watched
from cryoctl.viewer.window import theme as themes
from cryoctl.viewer.window.banner import NOT_STOPPED, STOPPED
from cryoctl.viewer.window.events_panel import EVERYTHING, TROUBLE
from cryoctl.viewer.window.live_window import LiveWindow
from tests.unit.runfile.synthetic_run import synthetic_run


@pytest.fixture(scope="module")
def app() -> QApplication:
    found = QApplication.instance()
    return found if isinstance(found, QApplication) else QApplication([])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Of a synthetic run that goes on, with slices through a made-up volume."""
    run = synthetic_run(tmp_path_factory.mktemp("seen"), ended=False)
    going = GoingRun(run)
    going.more()
    known = going.known()
    going.close()
    volumes = {name: np.random.default_rng(0).random((8, 24, 32), np.float32) for name in ("HAADF", "Si")}
    return dataclasses.replace(
        known,
        phase=Phase.RUNNING,
        commands=True,
        frames_planned=9,
        slices=sliced(volumes, "T1", 5),
        voxel_size_m=1e-8,
    )


@pytest.fixture(scope="module")
def opened(app: QApplication) -> Iterator[LiveWindow]:
    one = LiveWindow(themes.LIGHT)
    one.show()
    yield one
    one.close()


@pytest.fixture
def window(app: QApplication, seen: Known, opened: LiveWindow) -> LiveWindow:
    """One window for many tests, each of which finds it as if it had just been opened."""
    opened.image.contrast.auto.setChecked(True)
    opened.events.filter.setCurrentIndex(0)
    opened.told.clear()
    opened.show_known(Known(run_file=None))
    opened.show_known(seen)
    app.processEvents()
    return opened


def until(app: QApplication, true: Callable[[], bool], patience_s: float = 20.0) -> bool:
    end_s = time.monotonic() + patience_s
    while not true() and time.monotonic() < end_s:
        app.processEvents()
        time.sleep(0.005)
    return true()


def buttons(window: LiveWindow) -> set[str]:
    return {button.text() for button in window.findChildren(QPushButton) if button.isVisible()}


def test_the_binding_of_qt_keeps_true_and_false(app: QApplication) -> None:
    """PySide6 6.12.0 lost a reference with each signal, which ends a Python before 3.12 after some hundred of them."""

    class Sender(QObject):
        sent = Signal(str)

    sender = Sender()
    sender.sent.connect(lambda text: None)
    before = sys.getrefcount(True)
    for _ in range(100):
        sender.sent.emit("x")
    assert abs(sys.getrefcount(True) - before) < 50


@pytest.mark.parametrize("theme", [themes.LIGHT, themes.DARK])
def test_it_draws_a_run_in_light_and_dark(app: QApplication, seen: Known, theme: themes.Theme) -> None:
    window = LiveWindow(theme)
    window.show_known(seen)
    window.show()
    app.processEvents()
    picture = window.grab().toImage()
    width, height = picture.width(), picture.height()
    points = [(k * width // 97 % width, k * height // 89 % height) for k in range(89 * 97)]
    assert len({picture.pixel(x, y) for x, y in points}) > 20
    assert picture.pixelColor(3, height // 2).name() == theme.paper
    assert window.header.frames.text().startswith("frame 5 of 9")
    assert window.dose.note.text().startswith("peak 4,000 of 50,000")
    assert window.element.note.text().endswith("counts in the line's window, this frame")
    assert window.slices.note.text() == "T1, 5 tilts"
    window.close()


def test_a_scale_bar_has_a_round_length_that_fits_its_picture(window: LiveWindow) -> None:
    bar = window.image.picture.bar()
    assert bar is not None
    length_px, text = bar
    (left, right), _ = window.image.picture._box.viewRange()
    number, unit = text.split()
    metres = float(number) * {"nm": 1e-9, "µm": 1e-6}[unit]
    assert str(float(number)).strip("0.") in ("1", "2", "5")
    assert length_px == pytest.approx(metres / 1e-8 / (right - left) * window.image.picture.width(), rel=0.05)
    assert 20 < length_px <= 100


def test_contrast_is_automatic_until_the_operator_moves_it(window: LiveWindow, seen: Known) -> None:
    contrast, image = window.image.contrast, seen.shots["image"].image
    low, high = contrast.levels(image, "HAADF")
    assert image.min() <= low < high <= image.max()
    assert not contrast.black.isEnabled()
    contrast.auto.setChecked(False)
    contrast.black.setValue(0)
    contrast.white.setValue(500)
    middle = (float(image.min()) + float(image.max())) / 2
    assert contrast.levels(image, "HAADF") == pytest.approx((float(image.min()), middle))
    assert tuple(window.image.picture._item.levels) == pytest.approx((float(image.min()), middle))


def test_rows_of_the_course_are_those_that_were_measured(window: LiveWindow, seen: Known) -> None:
    assert window.traces.shown == ["temperature", "tilt"]
    time_s = np.arange(10.0)
    off = {"bias_voltage": Trace(unit="V", time_s=time_s, value=np.zeros(10))}
    off["bias_current"] = Trace(unit="A", time_s=time_s, value=1e-12 * np.sin(time_s))
    window.show_known(dataclasses.replace(seen, version=2, traces=seen.traces | off))
    assert window.traces.shown == ["temperature", "tilt"]
    on = off | {"bias_voltage": Trace(unit="V", time_s=time_s, value=-2.5 * (time_s > 3))}
    area = 1e-14 * np.array([1 + 0.1 * time_s, np.ones(10)])
    particles = Particles(
        names=("p1", "p2"), control=(False, True), time_s=time_s, area_m2=area, sigma_m2=np.full((2, 10), np.nan)
    )
    window.show_known(dataclasses.replace(seen, version=3, traces=seen.traces | on, particles=particles))
    assert window.traces.shown == ["bias_voltage", "bias_current", "area", "temperature", "tilt"]
    assert "1.900" in window.traces.legend.text()
    assert "p2 (control)" in window.traces.legend.text()


def test_events_can_be_chosen_and_follow_the_run(window: LiveWindow, seen: Known) -> None:
    table = window.events.table
    window.events.filter.setCurrentText(EVERYTHING)
    everything = table.rowCount()
    assert everything == len(seen.happenings)
    more = (Happening(50.0, "warning", "interlock", "temperature", "holder at 130 K"),)
    window.show_known(dataclasses.replace(seen, version=4, happenings=seen.happenings + more))
    assert table.rowCount() == everything + 1
    window.events.filter.setCurrentText(TROUBLE)
    assert [table.item(row, 2).text() for row in range(table.rowCount())] == ["holder at 130 K"]
    assert "warning" in table.item(0, 1).text()


def test_the_dose_bar_is_full_at_the_limit(window: LiveWindow, seen: Known) -> None:
    bar = window.dose.bar
    assert bar.full_e_per_a2() == 50_000.0
    bar.show_dose(DoseNow(peak=60_000.0, limit=50_000.0, by_kind={"record": 60_000.0}))
    assert bar.full_e_per_a2() == 60_000.0
    unlimited = dataclasses.replace(seen, dose=DoseNow(peak=10.0, planned=40.0, by_kind={"view": 10.0}))
    window.show_known(unlimited)
    assert bar.full_e_per_a2() == 40.0
    assert "no limit" in window.dose.note.text()
    window.show_known(dataclasses.replace(seen, dose=DoseNow(known=False, peak=float("nan"))))
    assert window.dose.note.text().startswith("unknown")


def test_buttons_are_those_that_the_run_can_answer(window: LiveWindow, seen: Known) -> None:
    assert buttons(window) == {"PAUSE", "STOP"}
    alarm = Alarm(name="nitrogen", message="dewar at 2 %", policy="pause", answerable=True)
    expected = {
        Phase.PAUSED: {"GO ON", "STOP", "END THE RUN"},
        Phase.SECURING: {"PAUSE", "STOP"},
        Phase.ALARM: {"GO ON", "STOP", "END THE RUN", "ACKNOWLEDGE"},
    }
    for phase, shown in expected.items():
        window.show_known(dataclasses.replace(seen, phase=phase, alarm=alarm if phase is Phase.ALARM else None))
        assert buttons(window) == shown, phase
    for phase in (Phase.WRITING, Phase.ENDED, Phase.KILLED):
        window.show_known(dataclasses.replace(seen, phase=phase, commands=False, message="over"))
        assert buttons(window) == set(), phase


@pytest.fixture
def spoken(app: QApplication, tmp_path: Path) -> Iterator[tuple[LiveWindow, list[tuple[str, str]]]]:
    """A window that watches a run which listens; what the run hears."""
    run = synthetic_run(tmp_path, ended=False)
    heard: list[tuple[str, str]] = []
    server = ControlServer(run.parent)
    server.named(run)
    server.listen(lambda command, source, text, who: heard.append((command, source)))
    window = LiveWindow(themes.LIGHT, Watched(run))
    window.show()
    assert until(app, lambda: window.known.phase is Phase.RUNNING)
    yield window, heard
    server.close()
    window.close()


def test_one_click_on_stop_blanks_and_a_second_button_ends_the_run(
    app: QApplication, seen: Known, spoken: tuple[LiveWindow, list[tuple[str, str]]]
) -> None:
    window, heard = spoken
    window.header.stop.click()
    assert until(app, lambda: heard == [("blank", "view")])
    assert until(app, lambda: bool(window.told))
    assert {"GO ON", "END THE RUN"} <= buttons(window)
    window.show_known(dataclasses.replace(window.known, phase=Phase.PAUSED))
    assert window.banner.text.text() == STOPPED
    window.banner.end.click()
    assert until(app, lambda: heard == [("blank", "view"), ("abort", "view")])


def test_pause_and_go_on_are_one_button_and_closing_says_nothing(
    app: QApplication, spoken: tuple[LiveWindow, list[tuple[str, str]]]
) -> None:
    window, heard = spoken
    watcher = window._watcher
    assert watcher is not None
    assert watcher.isRunning()
    window.header.pause.click()
    assert until(app, lambda: heard == [("pause", "view")])
    window.show_known(dataclasses.replace(window.known, phase=Phase.PAUSED))
    window.header.pause.click()
    assert until(app, lambda: heard == [("pause", "view"), ("go", "view")])
    window.close()
    assert watcher.isFinished()
    assert len(heard) == 2


def test_a_stop_that_nobody_took_says_so_and_what_to_do(app: QApplication, window: LiveWindow) -> None:
    window.header.stop.click()  # the synthetic run has no process
    assert until(app, lambda: bool(window.told))
    assert window.banner.text.text().startswith(NOT_STOPPED)
    assert "cryoctl safe" in NOT_STOPPED
