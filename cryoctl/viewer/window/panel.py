"""A titled box, in which every part of the window stands."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget


class Panel(QFrame):
    """`body` takes the widgets; `top` is the line of the title, to which controls may be added at the right."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.top = QHBoxLayout()
        self.top.setSpacing(8)
        self.title = QLabel(title)
        self.title.setObjectName("title")
        self.note = QLabel("")
        self.note.setObjectName("faint")
        self.top.addWidget(self.title)
        self.top.addWidget(self.note)
        self.top.addStretch(1)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(8, 6, 8, 8)
        self.body.setSpacing(4)
        self.body.addLayout(self.top)

    def control(self, widget: QWidget) -> None:
        """At the right of the title."""
        self.top.addWidget(widget)
