"""One picture: grey or in an element's colour, right way round, with a scale bar that always has a round length."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QVBoxLayout, QWidget

from cryoctl.viewer.palette import image_map
from cryoctl.viewer.picture_panels import length_text, round_length

Image = npt.NDArray[Any]

_BAR_PX = 100.0
"""A scale bar is at most this long on the screen, so that pictures at one scale have bars of one length."""


class Picture(QWidget):
    """`show_image` [y, x], row 0 at the bottom as in the specimen's frame. The wheel zooms, dragging moves."""

    def __init__(self, colours: str = "HAADF", scale_bar: bool = True) -> None:
        super().__init__()
        self._view: Any = pg.GraphicsLayoutWidget()
        self._view.setBackground("#000000")
        self._view.ci.layout.setContentsMargins(0, 0, 0, 0)
        self._box: Any = self._view.addViewBox(lockAspect=True, enableMenu=False, defaultPadding=0.0)
        self._item: Any = pg.ImageItem(axisOrder="row-major")
        self._box.addItem(self._item)
        self._shape = (0, 0)
        self._pixel_m = math.nan
        self._colours = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)
        self._over = _Overlay(self)
        self._with_bar = scale_bar
        self._box.sigRangeChanged.connect(self._zoomed)
        self.setMinimumSize(90, 70)
        self.colour(colours)

    def colour(self, element: str) -> None:
        """Grey for an image, an element's own hue for its counts."""
        if element != self._colours:
            self._colours = element
            table = image_map(element)(np.linspace(0.0, 1.0, 256))[:, :3]
            self._item.setLookupTable((255 * np.asarray(table)).astype(np.uint8))

    def show_image(self, image: Image, pixel_size_m: float, low: float, high: float) -> None:
        """Black at `low`, brightest at `high`; a picture of another shape is shown whole."""
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=low)
        self._item.setImage(values, autoLevels=False, levels=(low, max(high, low + 1e-9)))
        self._pixel_m = pixel_size_m
        if values.shape != self._shape:
            self._shape = (int(values.shape[0]), int(values.shape[1]))
            self._box.setRange(QRectF(0, 0, values.shape[1], values.shape[0]), padding=0.0)
        self._over.say("")

    def nothing(self, sentence: str) -> None:
        """Instead of a picture, why there is none."""
        self._item.clear()
        self._shape, self._pixel_m = (0, 0), math.nan
        self._over.say(sentence)

    def bar(self) -> tuple[float, str] | None:
        """Length of the scale bar in pixels of the screen, and what it is."""
        (left, right), _ = self._box.viewRange()
        width = self._view.width()
        if not (self._with_bar and self._pixel_m > 0 and right > left and width > 0):
            return None
        per_m = width / ((right - left) * self._pixel_m)
        length_m = round_length((_BAR_PX if width >= 2 * _BAR_PX else 0.5 * _BAR_PX) / per_m)
        return length_m * per_m, length_text(length_m)

    def _zoomed(self, *_: object) -> None:
        self._over.update()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._over.setGeometry(self.rect())


class _Overlay(QWidget):
    """Scale bar and sentence over the picture; the mouse does not meet it."""

    def __init__(self, picture: Picture) -> None:
        super().__init__(picture)
        self._picture = picture
        self._sentence = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setStyleSheet("background: transparent;")

    def say(self, sentence: str) -> None:
        self._sentence = sentence
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._sentence:
            painter.setPen(QColor("#98a3b3"))
            area = self.rect().adjusted(12, 8, -12, -8)
            flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
            painter.drawText(area, flags, self._sentence)
            return
        bar = self._picture.bar()
        if bar is None:
            return
        length, text = bar
        right, low = self.width() - 12.0, self.height() - 12.0
        font = QFont(self.font())
        font.setPixelSize(13)
        font.setBold(True)
        painter.setFont(font)
        for colour, width in (("#000000", 7.0), ("#ffffff", 4.0)):
            grow = 1.5 if width > 5 else 0.0
            painter.setPen(QPen(QColor(colour), width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
            painter.drawLine(QPointF(right - length - grow, low), QPointF(right + grow, low))
        place = QRectF(right - max(length, 80.0), low - 24.0, max(length, 80.0), 20.0)
        flags = Qt.AlignmentFlag.AlignRight if length < 80 else Qt.AlignmentFlag.AlignHCenter
        painter.setPen(QColor("#000000"))
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            painter.drawText(place.translated(dx, dy), int(flags), text)
        painter.setPen(QColor("#ffffff"))
        painter.drawText(place, int(flags), text)


def even_levels(image: Image, element: str) -> tuple[float, float]:
    """Black and white of a picture by itself: of an image its 1st and 99.7th percentile, of counts from 0."""
    values = np.asarray(image, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low = float(np.percentile(values, 1.0)) if element == "HAADF" else 0.0
    return low, max(float(np.percentile(values, 99.7)), low + 1e-9)
