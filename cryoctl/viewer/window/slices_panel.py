"""Three slices at right angles through a chosen element's volume, as the live reconstruction has it."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from cryoctl.reconstruction.live_slices import LiveSlices
from cryoctl.viewer.model.known import Known
from cryoctl.viewer.window.element_panel import offer
from cryoctl.viewer.window.panel import Panel
from cryoctl.viewer.window.picture import Picture

_CUTS = (("xy", "from above (x, y)"), ("xz", "from the side (x, z)"), ("zy", "across the tilt axis (y, z)"))
WHY_NONE = "no slices: they are made while a run with a live reconstruction goes on in real time"


class SlicesPanel(Panel):
    """Slices share one contrast, so that they can be compared; a few bright specks do not make the rest dark."""

    def __init__(self) -> None:
        super().__init__("Volume")
        self.element = QComboBox()
        self.element.setToolTip("whose volume is cut")
        self.element.currentIndexChanged.connect(self._draw)
        self.control(self.element)
        row = QHBoxLayout()
        row.setSpacing(8)
        self.pictures: dict[str, Picture] = {}
        for name, text in _CUTS:
            column, box = QWidget(), QVBoxLayout()
            box.setContentsMargins(0, 0, 0, 0)
            box.setSpacing(2)
            column.setLayout(box)
            label = QLabel(text)
            label.setObjectName("faint")
            self.pictures[name] = Picture()
            box.addWidget(label)
            box.addWidget(self.pictures[name], 1)
            row.addWidget(column, 1)
        self.body.addLayout(row, 1)
        self._slices: LiveSlices | None = None
        self._voxel_m = float("nan")
        self._drawn = False

    def show_known(self, known: Known) -> None:
        if known.slices is self._slices and self._drawn:
            return
        self._slices, self._voxel_m = known.slices, known.voxel_size_m
        offer(self.element, list(known.slices.volumes) if known.slices is not None else [])
        self._draw()

    def _draw(self, *_: object) -> None:
        self._drawn = True
        element = self.element.currentText()
        if self._slices is None or element not in self._slices.volumes:
            self.note.setText("")
            for name, picture in self.pictures.items():
                picture.nothing(WHY_NONE if name == "xz" else "")
            return
        one = self._slices.volumes[element]
        self.note.setText(f"{self._slices.target}, {self._slices.tilts} tilts")
        high = float(np.median([np.percentile(image, 99.5) for image in (one.xy, one.xz, one.zy)]))
        for name, image in (("xy", one.xy), ("xz", one.xz), ("zy", one.zy)):
            self.pictures[name].colour(element)
            self.pictures[name].show_image(image, self._voxel_m, 0.0, high)
