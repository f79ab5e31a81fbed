"""Opens the window, or draws it once into a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from PySide6.QtCore import qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from cryoctl.errors import BadInput, FileProblem
from cryoctl.viewer.model.known import Known
from cryoctl.viewer.model.operator import Answer
from cryoctl.viewer.model.watched import Watched
from cryoctl.viewer.window import theme as themes
from cryoctl.viewer.window.live_window import LiveWindow

_PROBE = "from PySide6.QtGui import QGuiApplication; QGuiApplication([])"
_PROBE_LIMIT_S = 20.0


def open_window(watched: Watched, theme: str) -> tuple[Known, list[Answer]]:
    """Until it is closed; what it last knew, and the commands that were given. After `check_display`."""
    app = _application()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the window, as it ends any program that looks on
    window = LiveWindow(themes.chosen(theme), watched)
    window.show()
    app.exec()
    return window.known, window.told


def draw_window(watched: Watched, theme: str, out: Path) -> Known:
    """What the window shows now, as a picture; needs no display.

    Raises:
        FileProblem: it can't be written.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    qInstallMessageHandler(_unsaid)
    app = _application()
    window = LiveWindow(themes.LIGHT if theme == "auto" else themes.chosen(theme))
    window.show_known(watched.look())
    window.show()
    for _ in range(3):  # what a layout finds out only when it is drawn
        app.processEvents()
    written = window.grab().save(str(out))
    window.close()
    if not written:
        raise FileProblem(f"--plot {out}: can't be written; choose another place or one of .png and .jpg")
    return window.known


def check_display() -> None:
    """Qt ends the process where it finds no display, so a process of its own tries first.

    Raises:
        BadInput: no window can be opened here.
    """
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return
    why = "there is no display"
    if os.environ.get("QT_QPA_PLATFORM") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        try:
            probe = [sys.executable, "-c", _PROBE]
            tried = subprocess.run(probe, capture_output=True, text=True, timeout=_PROBE_LIMIT_S)
        except subprocess.TimeoutExpired:
            why = "the display does not answer"
        else:
            if tried.returncode == 0:
                return
            said = [line for line in tried.stderr.splitlines() if line.strip()]
            why = said[0].strip()[:110] if said else "Qt can't use the display"
    raise BadInput(f"view: no window can be opened here ({why}); log in with a display, or use --plot FILE.png")


def _unsaid(*_: object) -> None:
    """Of what Qt can't do without a screen."""


def _application() -> QApplication:
    found = QApplication.instance()
    app = found if isinstance(found, QApplication) else QApplication(["cryoctl"])
    app.setApplicationName("cryoctl")
    app.setStyle("Fusion")
    return app
