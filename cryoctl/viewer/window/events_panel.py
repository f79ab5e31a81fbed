"""What happened, the latest below; warnings and errors named and coloured."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QBrush, QColor
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QTableWidget, QTableWidgetItem

from cryoctl.viewer.model.known import Happening, Known
from cryoctl.viewer.window import wording
from cryoctl.viewer.window.panel import Panel
from cryoctl.viewer.window.theme import Theme

MOST_ROWS = 2000
IMPORTANT, EVERYTHING, TROUBLE = "what matters", "everything", "warnings and errors"
_MARKS = {"warning": "\u25b2 warning", "error": "\u25c6 error"}
_SMALL = ("exposure", "frame", "progress", "state")
"""Kinds that come with every picture, many a tilt; only `everything` lists them."""


class EventsPanel(Panel):
    """Follows the end of the list unless the operator has scrolled up."""

    def __init__(self, theme: Theme) -> None:
        super().__init__("Events")
        self._theme = theme
        self.filter = QComboBox()
        self.filter.addItems([IMPORTANT, EVERYTHING, TROUBLE])
        self.filter.setToolTip("which events are listed")
        self.filter.currentIndexChanged.connect(self._again)
        self.control(self.filter)
        self.table = QTableWidget(0, 3)
        self.table.horizontalHeader().setVisible(False)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.horizontalHeader().setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(0, 66)
        self.table.setColumnWidth(1, 86)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.body.addWidget(self.table, 1)
        self._run = ""
        self._all: tuple[Happening, ...] = ()
        self._listed = 0

    def show_known(self, known: Known) -> None:
        if known.name != self._run or len(known.happenings) < self._listed:
            self._run, self._listed = known.name, 0
            self.table.setRowCount(0)
        self._all = known.happenings
        self._append(self._all[self._listed :])
        self._listed = len(self._all)
        trouble = sum(one.level != "info" for one in self._all)
        self.note.setText(f"{trouble} with a warning or an error" if trouble else "")

    def _again(self, *_: object) -> None:
        self.table.setRowCount(0)
        self._append(self._all[-MOST_ROWS:])

    def _append(self, happenings: Sequence[Happening]) -> None:
        chosen = [one for one in happenings if wanted(one, self.filter.currentText())][-MOST_ROWS:]
        if not chosen:
            return
        bar = self.table.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 1
        first = self.table.rowCount()
        self.table.setRowCount(first + len(chosen))
        for row, one in enumerate(chosen, first):
            colour = QBrush(QColor(self._theme.level(one.level)))
            for column, text in enumerate((wording.clock(one.time_s), _MARKS.get(one.level, one.kind), one.message)):
                item = QTableWidgetItem(text)
                item.setForeground(colour if column or one.level != "info" else QBrush(QColor(self._theme.faint)))
                item.setToolTip(one.message)
                self.table.setItem(row, column, item)
        for _ in range(self.table.rowCount() - MOST_ROWS):
            self.table.removeRow(0)
        if at_end:
            QTimer.singleShot(0, self.table.scrollToBottom)  # once the rows have their places


def wanted(happening: Happening, what: str) -> bool:
    if what == EVERYTHING:
        return True
    return happening.level != "info" or (what == IMPORTANT and happening.kind not in _SMALL)
