"""What recorded data that are no run of cryoctl leave of a recipe: what is looked for, not how it was recorded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from cryoctl.protocol import RecordedSeries


def decided_by(parameters: Mapping[str, Any], series: RecordedSeries) -> dict[str, Any]:
    """Recipe fields (plain data) with all that the data decide put in: order and size of tilts and scans, one target
    that is taken as it lies, nothing searched, tracked, focused or showered; the doses are not known."""
    fields: dict[str, Any] = copy.deepcopy(dict(parameters))

    def put(section: str, **values: Any) -> None:
        fields[section] = {**(fields.get(section) or {}), **values}

    fields["specimen"] = {"name": series.specimen}
    fields["tilts"] = {"scheme": "list", "list_deg": list(series.tilts_deg)}
    put(
        "image",
        shape=list(series.shape),
        pixel_size_m=series.pixel_size_m,
        dwell_s=None,
        dynamic_focus=False,
        detector="haadf",
    )
    put("edx", scans=series.scans, detector="edx")
    fields["dose"] = {}
    fields["targets"] = [{"name": "specimen", "x_m": 0.0, "y_m": 0.0}]
    fields["optics"] = {"search": "record", "record": "record"}
    for section in ("track", "focus"):
        put(section, every=0)
    for section in ("search", "eucentric", "shower"):
        put(section, enabled=False)
    put("drift", timeout_s=0.0)
    put("approach", overshoot_m=0.0, overshoot_deg=0.0, settle_s=0.0)
    return fields
