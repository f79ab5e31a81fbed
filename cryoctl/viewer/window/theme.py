"""Colours and type of the window, light and dark; hues that colour-blind eyes tell apart (Okabe and Ito).

A state is never told by its colour alone: its name stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette

from cryoctl.viewer.model.dose_so_far import EARLIER, UNDER_WAY
from cryoctl.viewer.model.known import Phase

THEMES = ("auto", "light", "dark")

_BLUE, _SKY, _GREEN, _ORANGE, _VERMILLION, _PURPLE = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7"
KINDS = {
    "record": _BLUE,
    "track": _ORANGE,
    "focus": _GREEN,
    "search": _PURPLE,
    "view": _PURPLE,
    "wobble": _GREEN,
    "shower": _VERMILLION,
    "spectrum": _SKY,
    EARLIER: "#7f8894",
    UNDER_WAY: "#b7bfca",
}
CURVES = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY)
"""Of particles, one after another; on dark paper each is drawn lighter."""


@dataclass(frozen=True, slots=True)
class Theme:
    """`paper` behind everything, `panel` behind a group, `ink` and `faint` for text, `line` for borders and grids."""

    name: str
    paper: str
    panel: str
    ink: str
    faint: str
    line: str
    curve: str
    stop: str = "#c8102e"

    def phase(self, phase: Phase) -> str:
        """Behind the name of a phase; the name is written on it in white or black by `on`."""
        return {
            Phase.RUNNING: _BLUE,
            Phase.PREPARING: _SKY,
            Phase.PAUSED: _ORANGE,
            Phase.ALARM: _VERMILLION,
            Phase.SECURING: _ORANGE,
            Phase.KILLED: _VERMILLION,
            Phase.WRITING: _SKY,
        }.get(phase, "#5f6b7a")

    def level(self, level: str) -> str:
        warning = "#f0b040" if self.name == "dark" else "#8f5a00"
        error = "#ff8a4c" if self.name == "dark" else "#b34700"
        return {"warning": warning, "error": error}.get(level, self.ink)

    def curves(self, number: int) -> str:
        colour = CURVES[number % len(CURVES)]
        return {_BLUE: "#5aa9e6"}.get(colour, colour) if self.name == "dark" else colour


LIGHT = Theme("light", paper="#eef1f5", panel="#ffffff", ink="#1c2430", faint="#5c6675", line="#d5dae2", curve=_BLUE)
DARK = Theme("dark", paper="#14181f", panel="#1d232c", ink="#e6eaf0", faint="#98a3b3", line="#333c49", curve="#5aa9e6")


def on(colour: str) -> str:
    """Black or white, whichever is read more easily on a colour."""
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "#ffffff"


def chosen(name: str) -> Theme:
    """`light`, `dark`, or what the desktop has (`auto`)."""
    if name == "auto":
        return DARK if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark else LIGHT
    return DARK if name == "dark" else LIGHT


def palette(theme: Theme) -> QPalette:
    """For everything that the style draws by itself: lists, boxes, sliders, tool tips."""
    made, role = QPalette(), QPalette.ColorRole
    colours = {
        role.Window: theme.paper,
        role.WindowText: theme.ink,
        role.Base: theme.panel,
        role.AlternateBase: theme.paper,
        role.Text: theme.ink,
        role.Button: theme.panel,
        role.ButtonText: theme.ink,
        role.ToolTipBase: theme.panel,
        role.ToolTipText: theme.ink,
        role.PlaceholderText: theme.faint,
        role.Highlight: theme.curve,
        role.HighlightedText: on(theme.curve),
    }
    for one, colour in colours.items():
        made.setColor(one, QColor(colour))
    for one in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, one, QColor(theme.faint))
    return made


def stylesheet(theme: Theme) -> str:
    t = theme
    return f"""
        * {{ font-size: 13px; }}
        QFrame#panel {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: 6px; }}
        QLabel, QCheckBox {{ background: transparent; color: {t.ink}; }}
        QLabel#title {{ font-weight: 600; }}
        QLabel#faint {{ color: {t.faint}; }}
        QLabel#label {{ font-size: 17px; font-weight: 600; }}
        QPushButton {{ background: {t.panel}; color: {t.ink}; border: 1px solid {t.faint}; border-radius: 6px;
                       padding: 6px 14px; }}
        QPushButton:hover {{ border-color: {t.ink}; }}
        QPushButton:focus {{ border: 2px solid {t.curve}; }}
        QPushButton:disabled {{ color: {t.faint}; border-color: {t.line}; }}
        QPushButton#big {{ font-size: 16px; font-weight: 600; padding: 12px 20px; min-width: 92px; }}
        QPushButton#stop {{ background: {t.stop}; color: white; border: 2px solid {t.stop};
                            font-size: 19px; font-weight: 700; padding: 11px 22px; min-width: 104px; }}
        QPushButton#stop:hover {{ background: #e0243f; }}
        QPushButton#stop:focus {{ border: 2px solid {t.ink}; }}
        QProgressBar {{ background: {t.line}; border: none; border-radius: 4px; }}
        QProgressBar::chunk {{ background: {t.curve}; border-radius: 4px; }}
        QTableWidget {{ background: {t.panel}; border: none; }}
        QTableWidget::item:selected {{ background: {t.line}; color: {t.ink}; }}
        QScrollBar:vertical {{ background: {t.panel}; width: 10px; margin: 0; }}
        QScrollBar::handle:vertical {{ background: {t.line}; border-radius: 5px; min-height: 24px; }}
        QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; width: 0; }}
    """
