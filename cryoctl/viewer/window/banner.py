"""What wants an answer, below the header: an alarm, a STOP that was pressed, a command that nobody took."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton

from cryoctl.viewer.model.known import ALIVE, Known, Phase
from cryoctl.viewer.model.operator import Answer
from cryoctl.viewer.window.theme import Theme, on

STOPPED = "STOP: the beam is blanked and the run stands paused. Go on, or end the run."
NOT_STOPPED = "STOP WAS NOT TAKEN: use the microscope's own beam blank, or `cryoctl safe`."


class Banner(QFrame):
    """`asked` tells the command of a button: ack, go or abort. One thing at a time, the most urgent first."""

    asked = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.acknowledge, self.go, self.end = (QPushButton(name) for name in ("ACKNOWLEDGE", "GO ON", "END THE RUN"))
        self.acknowledge.setToolTip("You have seen the alarm and the run goes on in spite of it.")
        self.go.setToolTip("The run goes on where it stands.")
        self.end.setToolTip("Safe state; the file holds everything up to now, and `cryoctl resume` can go on later.")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.addWidget(self.text, 1)
        for button, command in ((self.acknowledge, "ack"), (self.go, "go"), (self.end, "abort")):
            button.clicked.connect(lambda _=False, command=command: self.asked.emit(command))
            row.addWidget(button)
        self._stopped = False
        self._failed: Answer | None = None
        self._known = Known(run_file=None)
        self.hide()

    def asking(self, command: str) -> None:
        """A button was pressed; the run has not answered yet."""
        if command == "blank":
            self._stopped = True
        elif command in ("go", "abort"):
            self._stopped = False
        self._failed = None
        self._draw()

    def answered(self, answer: Answer) -> None:
        self._failed = None if answer.ok else answer
        if not answer.ok and answer.command == "blank":
            self._stopped = False
        self._draw()

    def show_known(self, known: Known) -> None:
        if known.run_file != self._known.run_file:
            self._stopped, self._failed = False, None
        if known.phase not in ALIVE and (self._stopped or self._failed is not None):
            self._stopped, self._failed = False, None
        self._known = known
        self._draw()

    def _draw(self) -> None:
        known, buttons = self._known, set[QPushButton]()
        colour = self._theme.phase(Phase.ALARM)
        if self._failed is not None:
            first = NOT_STOPPED if self._failed.command in ("blank", "abort") else f"{self._failed.command}: not taken."
            text = f"{first}  {self._failed.message}"
        elif known.alarm is not None and known.phase in ALIVE:
            text = f"\u25b2  {known.alarm.name}: {known.alarm.message}.  {what_then(known)}"
            buttons = {self.end} | ({self.acknowledge} if known.alarm.answerable else set[QPushButton]())
        elif self._stopped:
            colour = self._theme.phase(Phase.PAUSED)
            stands = known.phase is Phase.PAUSED
            text = STOPPED if stands else "STOP is given: the beam is blanked now."
            buttons = {self.go, self.end}
        elif known.phase is Phase.PAUSED:
            colour = self._theme.phase(Phase.PAUSED)
            text = "Paused, the beam is blanked; the run stands still until you say how it goes on."
            buttons = {self.end}
        elif known.message and known.phase in (Phase.KILLED, Phase.ENDED, Phase.WAITING):
            colour, text = self._theme.panel, known.message  # nothing to answer: no colour
        else:
            self.hide()
            return
        self.text.setText(text)
        ink = self._theme.ink if colour == self._theme.panel else on(colour)
        self.setStyleSheet(
            f"Banner {{ background: {colour}; border: 1px solid {self._theme.line}; border-radius: 6px; }}"
            f"QLabel {{ background: transparent; color: {ink}; font-size: 14px; font-weight: 600; }}"
            f"QPushButton {{ background: {self._theme.panel}; color: {self._theme.ink}; font-weight: 600; }}"
        )
        for button in (self.acknowledge, self.go, self.end):
            button.setVisible(button in buttons)
        self.show()


def what_then(known: Known) -> str:
    """What the run does about its alarm."""
    alarm = known.alarm
    if alarm is None:
        return ""
    return {
        "wait": "The beam is blanked; the run goes on by itself when it clears.",
        "pause": "The beam is blanked; the run waits for your answer." if alarm.answerable else "",
        "secure": "Nothing is exposed any more; the run ends in good order.",
        "abort": "The run ends now.",
        "refuse": "The step was refused.",
        "reconnect": "The link is tried again.",
    }.get(alarm.policy, "")
