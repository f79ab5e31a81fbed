"""Black and white point of a picture: by itself, or by two sliders."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QWidget

from cryoctl.viewer.window.picture import even_levels

STEPS = 1000


class Contrast(QWidget):
    """`levels` of an image; `changed` when the operator moved something. Sliders span the values of the image."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.auto = QCheckBox("auto contrast")
        self.auto.setChecked(True)
        self.black, self.white = (QSlider(Qt.Orientation.Horizontal) for _ in range(2))
        self.white.setToolTip("what is shown brightest")
        self.black.setToolTip("what is shown black")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.auto)
        for name, slider, value in (("black", self.black, 0), ("white", self.white, STEPS)):
            slider.setRange(0, STEPS)
            slider.setValue(value)
            slider.setEnabled(False)
            slider.valueChanged.connect(self._moved)
            slider.setMinimumWidth(60)
            label = QLabel(name)
            label.setObjectName("faint")
            row.addWidget(label)
            row.addWidget(slider, 1)
        self.auto.toggled.connect(self._turned)

    def levels(self, image: npt.NDArray[Any], element: str) -> tuple[float, float]:
        """Black and white for this image; the sliders follow while it is automatic."""
        values = np.asarray(image, dtype=np.float64)
        values = values[np.isfinite(values)]
        least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        span = max(most - least, 1e-9)
        if self.auto.isChecked():
            low, high = even_levels(image, element)
            for slider, level in ((self.black, low), (self.white, high)):
                slider.blockSignals(True)
                slider.setValue(round(STEPS * (level - least) / span))
                slider.blockSignals(False)
            return low, high
        low, high = (least + span * slider.value() / STEPS for slider in (self.black, self.white))
        return low, max(high, low + span / STEPS)

    def _moved(self, *_: object) -> None:
        self.changed.emit()

    def _turned(self, auto: bool) -> None:
        self.black.setEnabled(not auto)
        self.white.setEnabled(not auto)
        self.changed.emit()
