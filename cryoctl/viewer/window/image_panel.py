"""The latest picture of a stream, with its contrast."""

from __future__ import annotations

import math

from PySide6.QtWidgets import QComboBox

from cryoctl.viewer.model.known import Known, Shot
from cryoctl.viewer.window import wording
from cryoctl.viewer.window.contrast import Contrast
from cryoctl.viewer.window.panel import Panel
from cryoctl.viewer.window.picture import Picture

LATEST = "latest of all"
_NAMES = {"image": "record", "track": "track", "focus": "focus", "search": "search"}


class ImagePanel(Panel):
    """Record frames unless the operator chooses another stream; before there are any, the latest picture."""

    def __init__(self) -> None:
        super().__init__("Image")
        self.which = QComboBox()
        self.which.setToolTip("which pictures are shown here")
        self.which.addItems([*_NAMES.values(), LATEST])
        self.which.currentIndexChanged.connect(self._draw)
        self.control(self.which)
        self.picture = Picture()
        self.contrast = Contrast()
        self.contrast.changed.connect(self._draw)
        self.body.addWidget(self.picture, 1)
        self.body.addWidget(self.contrast)
        self._known: Known | None = None
        self._drawn: Shot | None = None

    def show_known(self, known: Known) -> None:
        self._known = known
        if self.chosen() is not self._drawn or not known.shots:
            self._draw()

    def chosen(self) -> Shot | None:
        """The picture to show."""
        shots = self._known.shots if self._known is not None else {}
        newest = max(shots.values(), key=lambda shot: shot.exposure, default=None)
        wanted = self.which.currentText()
        stream = next((stream for stream, name in _NAMES.items() if name == wanted), "")
        return shots.get(stream, newest if stream == "image" else None) if stream else newest

    def _draw(self, *_: object) -> None:
        shot = self._drawn = self.chosen()
        if shot is None:
            self.note.setText("")
            self.picture.nothing("no picture yet")
            return
        tilt = f", tilt {shot.tilt_deg:.1f}\u00b0" if math.isfinite(shot.tilt_deg) else ""
        self.note.setText(f"{shot.kind} {shot.index}{tilt}, at {wording.clock(shot.time_s)}")
        self.picture.show_image(shot.image, shot.pixel_size_m, *self.contrast.levels(shot.image, "HAADF"))
