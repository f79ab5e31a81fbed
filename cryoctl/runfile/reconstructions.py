"""Which reconstructions a run file holds, and in which order they were made."""

from __future__ import annotations

from cryoctl.runfile.h5 import H5Group
from cryoctl.runfile.node import Node


def names_newest_first(group: H5Group | Node) -> list[str]:
    """Names below /reconstruction, the last made first; what was made during the run (live) comes last."""
    names = [name for name in group if name != "alignment"]
    return sorted(names, key=lambda name: -order_of(group, name))


def order_of(group: H5Group | Node, name: str) -> int:
    """1 for the first that was added to the finished run, 0 for those of the run itself."""
    return int(group.attr_of(name, "order", 0)) if isinstance(group, Node) else int(group.group(name).attr("order", 0))
