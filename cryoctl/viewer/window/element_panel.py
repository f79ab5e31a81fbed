"""Counts of a chosen element in the latest record frame."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QComboBox

from cryoctl.viewer.model.known import ElementMaps, Known
from cryoctl.viewer.window.contrast import Contrast
from cryoctl.viewer.window.panel import Panel
from cryoctl.viewer.window.picture import Picture


class ElementPanel(Panel):
    """Hidden by the window where the run counts no elements."""

    def __init__(self) -> None:
        super().__init__("Element")
        self.element = QComboBox()
        self.element.setToolTip("which element is shown here")
        self.element.currentIndexChanged.connect(self._draw)
        self.control(self.element)
        self.picture = Picture()
        self.contrast = Contrast()
        self.contrast.changed.connect(self._draw)
        self.body.addWidget(self.picture, 1)
        self.body.addWidget(self.contrast)
        self._maps: ElementMaps | None = None

    def show_known(self, known: Known) -> None:
        if known.maps is self._maps:
            return
        self._maps = known.maps
        elements = list(known.maps.maps) if known.maps is not None else []
        offer(self.element, elements)
        self._draw()

    def _draw(self, *_: object) -> None:
        element = self.element.currentText()
        if self._maps is None or element not in self._maps.maps:
            self.note.setText("")
            self.picture.nothing("no element map")
            return
        image = self._maps.maps[element]
        self.note.setText(f"{np.nansum(image):,.0f} {self._maps.what}")
        self.picture.colour(element)
        self.picture.show_image(image, self._maps.pixel_size_m, *self.contrast.levels(image, element))


def offer(choice: QComboBox, names: list[str]) -> None:
    """These names to choose from, in this order; what was chosen stays chosen where it is among them."""
    if [choice.itemText(k) for k in range(choice.count())] == names:
        return
    chosen = choice.currentText()
    choice.blockSignals(True)
    choice.clear()
    choice.addItems(names)
    if chosen in names:
        choice.setCurrentText(chosen)
    choice.blockSignals(False)
