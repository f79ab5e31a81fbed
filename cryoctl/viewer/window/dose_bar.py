"""The dose of the specimen pixel that received most, against the limit, by kind of exposure."""

from __future__ import annotations

import math

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from cryoctl.viewer.model.dose_so_far import UNDER_WAY
from cryoctl.viewer.model.known import DoseNow, Known
from cryoctl.viewer.window import wording
from cryoctl.viewer.window.panel import Panel
from cryoctl.viewer.window.theme import KINDS, Theme

_ORDER = list(KINDS)


class DosePanel(Panel):
    """Title with the figures, the bar, and a legend that gives each kind its share in numbers."""

    def __init__(self, theme: Theme) -> None:
        super().__init__("Dose")
        self.bar = DoseBar(theme)
        self.legend = QLabel("")
        self.legend.setWordWrap(True)
        self.body.addWidget(self.bar)
        self.body.addWidget(self.legend)
        self._faint = theme.faint

    def show_known(self, known: Known) -> None:
        dose = known.dose
        self.bar.show_dose(dose)
        self.note.setText(said(dose))
        parts = [
            f"<span style='color:{KINDS.get(kind, '#7f8894')}'>\u25a0</span>&nbsp;{kind}&nbsp;{wording.dose(share)}"
            for kind, share in in_order(dose)
        ]
        self.legend.setText("&nbsp;&nbsp; ".join(parts) or f"<span style='color:{self._faint}'>nothing exposed</span>")


class DoseBar(QWidget):
    """Full width is the limit (without one, the planned or the received dose); a mark stands where it is planned."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._dose = DoseNow()
        self.setFixedHeight(26)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_dose(self, dose: DoseNow) -> None:
        self._dose = dose
        self.update()

    def full_e_per_a2(self) -> float:
        """What the whole width stands for."""
        dose = self._dose
        whole = [value for value in (dose.peak, dose.planned) if math.isfinite(value)]
        return max(dose.limit if math.isfinite(dose.limit) else 0.0, *whole, 1e-12) if whole else 1.0

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(0.5, 4.5, self.width() - 1.0, self.height() - 9.0)
        painter.fillRect(area, QColor(self._theme.line))
        dose, full = self._dose, self.full_e_per_a2()
        left = area.left()
        for kind, share in in_order(dose):
            width = area.width() * share / full
            place = QRectF(left, area.top(), width, area.height())
            colour = QColor(KINDS.get(kind, "#7f8894"))
            if kind == UNDER_WAY:
                painter.fillRect(place, QBrush(colour, Qt.BrushStyle.BDiagPattern))
            else:
                painter.fillRect(place, colour)
            left += width
        if math.isfinite(dose.planned) and dose.planned < full:
            x = area.left() + area.width() * dose.planned / full
            painter.setPen(QPen(QColor(self._theme.ink), 1.5, Qt.PenStyle.DashLine))
            painter.drawLine(int(x), 0, int(x), self.height())
        if math.isfinite(dose.limit):
            x = area.left() + area.width() * dose.limit / full
            painter.setPen(QPen(QColor(self._theme.ink), 3.0))
            painter.drawLine(int(x) - 1, 0, int(x) - 1, self.height())


def in_order(dose: DoseNow) -> list[tuple[str, float]]:
    """Kinds as the bar stacks them, what is under way last."""
    place = {kind: k for k, kind in enumerate(_ORDER)}
    return sorted(dose.by_kind.items(), key=lambda item: place.get(item[0], len(_ORDER) - 1.5))


def said(dose: DoseNow) -> str:
    """`12,400 of 50,000 e-/A2 (25 %), planned 41,000`."""
    if not dose.known:
        return "unknown: no beam current or dwell time was recorded"
    text = f"peak {wording.dose(dose.peak)}"
    if math.isfinite(dose.limit):
        share = 100 * dose.peak / dose.limit if dose.limit > 0 else 0.0
        text += f" of {wording.dose(dose.limit)} {wording.DOSE} ({share:.0f} %)"
    else:
        text += f" {wording.DOSE}, no limit"
    return text + (f", planned {wording.dose(dose.planned)}" if math.isfinite(dose.planned) else "")
