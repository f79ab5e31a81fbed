"""The window: header, banner, pictures, slices, dose, course and events of one run."""

from __future__ import annotations

import contextlib

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QApplication, QGridLayout, QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from cryoctl.viewer.model.known import Known
from cryoctl.viewer.model.operator import Answer, tell
from cryoctl.viewer.model.watched import Watched
from cryoctl.viewer.window import theme as themes
from cryoctl.viewer.window.banner import Banner
from cryoctl.viewer.window.dose_bar import DosePanel
from cryoctl.viewer.window.element_panel import ElementPanel
from cryoctl.viewer.window.events_panel import EventsPanel
from cryoctl.viewer.window.header import Header
from cryoctl.viewer.window.image_panel import ImagePanel
from cryoctl.viewer.window.slices_panel import SlicesPanel
from cryoctl.viewer.window.theme import Theme
from cryoctl.viewer.window.traces_panel import TracesPanel
from cryoctl.viewer.window.watcher import Watcher

SIZE = (1360, 860)


class LiveWindow(QWidget):
    """Draws `Known`; what the operator presses goes to the run over its control socket, and only there.

    Without `watched` nothing is looked at by itself: `show_known` is then called from outside.
    """

    _answered = Signal(object)

    def __init__(self, theme: Theme, watched: Watched | None = None) -> None:
        super().__init__()
        QApplication.setPalette(themes.palette(theme))
        self.setStyleSheet(themes.stylesheet(theme))
        self.known = Known(run_file=None)
        self.told: list[Answer] = []
        """Commands that were given here, with their answers."""
        self.header, self.banner = Header(theme), Banner(theme)
        self.image, self.element, self.slices = ImagePanel(), ElementPanel(), SlicesPanel()
        self.dose, self.traces, self.events = DosePanel(theme), TracesPanel(theme), EventsPanel(theme)
        self._lay_out()
        for part in (self.header, self.banner):
            part.asked.connect(self.ask)
        self._answered.connect(self._take_answer)
        self._watcher = None
        if watched is not None:
            self._watcher = Watcher(watched)
            self._watcher.seen.connect(self._seen)
            self._watcher.start()

    def show_known(self, known: Known) -> None:
        self.known = known
        self.setWindowTitle(f"{known.name or 'no run yet'} - {known.phase} - cryoctl")
        for part in (self.header, self.banner, self.image, self.element, self.slices):
            part.show_known(known)
        for part in (self.dose, self.traces, self.events):
            part.show_known(known)
        self.element.setVisible(known.maps is not None)

    def ask(self, command: str) -> None:
        """Say it to the run; the window goes on meanwhile."""
        if self.known.run_file is None:
            return
        self.banner.asking(command)
        tell(self.known.run_file, command, self._answer)

    def closeEvent(self, event: QCloseEvent) -> None:
        """The run is not told: it goes on without a window."""
        if self._watcher is not None:
            self._watcher.end()
            self._watcher = None
        super().closeEvent(event)

    def _seen(self, known: Known) -> None:
        try:
            self.show_known(known)
        finally:
            if self._watcher is not None:
                self._watcher.drawn()

    def _answer(self, answer: Answer) -> None:
        with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
            self._answered.emit(answer)

    def _take_answer(self, answer: Answer) -> None:
        self.told.append(answer)
        self.banner.answered(answer)
        if self._watcher is not None:
            self._watcher.look_now()

    def _lay_out(self) -> None:
        pictures = QHBoxLayout()
        pictures.addWidget(self.image, 1)
        pictures.addWidget(self.element, 1)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(pictures, 3)
        column.addWidget(self.slices, 2)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.dose)
        column.addWidget(self.traces, 1)
        upper = QSplitter(Qt.Orientation.Horizontal)
        upper.addWidget(left)
        upper.addWidget(right)
        upper.setSizes([860, 500])
        whole = QSplitter(Qt.Orientation.Vertical)
        whole.addWidget(upper)
        whole.addWidget(self.events)
        whole.setSizes([590, 140])
        for splitter in (upper, whole):
            splitter.setChildrenCollapsible(False)
        grid = QGridLayout(self)
        grid.setContentsMargins(10, 10, 10, 10)
        grid.setSpacing(8)
        grid.addWidget(self.header, 0, 0)
        grid.addWidget(self.banner, 1, 0)
        grid.addWidget(whole, 2, 0)
        grid.setRowStretch(2, 1)
        self.resize(*SIZE)
