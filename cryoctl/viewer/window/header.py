"""The line at the top: how the run stands, and the operator's buttons."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout

from cryoctl.viewer.model.known import ALIVE, Known, Phase
from cryoctl.viewer.window import wording
from cryoctl.viewer.window.theme import Theme, on


class Header(QFrame):
    """`asked` tells the command of a button: pause, go or blank (STOP)."""

    asked = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._theme = theme
        self.phase = QLabel()
        self.phase.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.phase.setMinimumWidth(150)
        self.label, self.what, self.time, self.frames = QLabel(), QLabel(), QLabel(), QLabel()
        self.label.setObjectName("label")
        self.what.setObjectName("faint")
        for one in (self.time, self.frames):
            one.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setMinimumWidth(220)
        self.pause, self.stop = QPushButton("PAUSE"), QPushButton("STOP")
        self.pause.setObjectName("big")
        self.stop.setObjectName("stop")
        self.stop.setToolTip("Blanks the beam at once; the run then stands paused, and you choose how it goes on.")
        self.pause.clicked.connect(lambda: self.asked.emit(self.pause.property("command")))
        self.stop.clicked.connect(lambda: self.asked.emit("blank"))
        words, course = QVBoxLayout(), QVBoxLayout()
        words.addWidget(self.label)
        words.addWidget(self.what)
        course.addWidget(self.time)
        course.addWidget(self.frames)
        course.addWidget(self.bar)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 8, 10, 8)
        row.setSpacing(16)
        row.addWidget(self.phase)
        row.addLayout(words, 1)
        row.addLayout(course)
        row.addWidget(self.pause)
        row.addWidget(self.stop)

    def show_known(self, known: Known) -> None:
        colour = self._theme.phase(known.phase)
        if known.phase is Phase.ENDED and known.status not in ("completed", "recovered"):
            colour = self._theme.phase(Phase.PAUSED)
        self.phase.setText(wording.NAMES[known.phase])
        self.phase.setStyleSheet(
            f"background: {colour}; color: {on(colour)}; border-radius: 6px; padding: 10px 12px; font-size: 17px;"
            "font-weight: 700;"
        )
        self.label.setText(wording.headline(known))
        self.what.setText(wording.under_title(known))
        self.time.setText(wording.run_time(known) if known.run_file is not None else "")
        self.frames.setText(wording.progress(known) if known.run_file is not None else "")
        self.bar.setValue(round(1000 * known.progress))
        self.bar.setVisible(known.phase in ALIVE)
        paused = known.phase in (Phase.PAUSED, Phase.ALARM)
        command = "go" if paused else "pause"
        self.pause.setProperty("command", command)
        self.pause.setText("GO ON" if paused else "PAUSE")
        self.pause.setToolTip(
            "The run goes on." if paused else "At the next boundary, blanked; an exposure under way is finished."
        )
        self.pause.setVisible(known.commands)
        self.stop.setVisible(known.phase in ALIVE and known.phase is not Phase.WRITING)
        self.pause.setEnabled(known.phase is not Phase.SECURING and not (known.asked and not paused))
