"""Colours of the elements: one hue each, from black over the hue to near white, lightness rising all the way."""

from __future__ import annotations

import colorsys

from matplotlib.colors import LinearSegmentedColormap

_HUES = {
    "HAADF": None,
    "Si": 0.58,
    "O": 0.02,
    "F": 0.33,
    "C": 0.11,
    "N": 0.70,
    "P": 0.88,
    "Mg": 0.78,
    "S": 0.15,
    "Fe": 0.06,
    "Ti": 0.48,
    "Cu": 0.08,
}
INK, FAINT, PAPER = "#1c2430", "#8a94a3", "#ffffff"


def hue_of(element: str) -> float | None:
    """0 to 1; None for grey. Elements without a hue of their own get one from their name."""
    if element in _HUES:
        return _HUES[element]
    return (sum(ord(letter) * (k + 7) for k, letter in enumerate(element)) * 0.381966) % 1.0


def line_colour(element: str) -> tuple[float, float, float]:
    """For curves on white paper."""
    hue = hue_of(element)
    return (0.25, 0.28, 0.33) if hue is None else colorsys.hls_to_rgb(hue, 0.40, 0.75)


def image_map(element: str) -> LinearSegmentedColormap:
    """For pictures: luminance (Rec. 709) rises evenly from 0 to 1 whatever the hue."""
    hue = hue_of(element)
    if hue is None:
        return LinearSegmentedColormap.from_list(element, [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
    return LinearSegmentedColormap.from_list(element, [_of_luminance(hue, k / 16) for k in range(17)])


def _of_luminance(hue: float, wanted: float) -> tuple[float, float, float]:
    """The colour of this hue, saturated where that is possible, with the luminance wanted."""
    low, high = 0.0, 1.0
    saturation = 0.9
    for _ in range(24):
        middle = (low + high) / 2
        red, green, blue = colorsys.hls_to_rgb(hue, middle, saturation)
        if 0.2126 * red + 0.7152 * green + 0.0722 * blue < wanted:
            low = middle
        else:
            high = middle
    return colorsys.hls_to_rgb(hue, (low + high) / 2, saturation)
