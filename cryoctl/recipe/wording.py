"""One voice for refusals: one line, at most 300 characters, encodable in cp1252, with the nearest name offered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from cryoctl.errors import BadInput
from cryoctl.units import dimension_of, quoted

LONGEST = 300

Path = tuple[str | int, ...]
"""Keys and list indexes from the top of a document."""


def sentence(text: str, kind: type[BadInput]) -> BadInput:
    """An error of this kind whose text is one line of at most 300 characters that any console can show."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "?" for c in line).encode("cp1252", "backslashreplace").decode("cp1252")
    return kind(line if len(line) <= LONGEST else line[: LONGEST - 3] + "...")


def nearest(name: str, names: Iterable[str], limit: int = 6) -> str:
    """`did you mean 'x'` where a name is near, else the names that exist (at most `limit`), else ``none exist``."""
    known = sorted(set(names))
    if not known:
        return "none exist"
    lowered: dict[str, str] = {}
    for one in known:
        lowered.setdefault(one.lower(), one)
    for one in known:  # people forget the unit: `limt` is nearer to `limit_e_per_a2` than to `split`
        dimension = dimension_of(one)
        lowered.setdefault(one.removesuffix(dimension.suffix).lower() if dimension is not None else one.lower(), one)
    found = difflib.get_close_matches(name.lower()[:80], list(lowered), n=1, cutoff=0.6)
    if found:
        return f"did you mean {quoted(lowered[found[0]])}"
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return f"allowed: {', '.join(_short(one) for one in known[:limit])}{more}"


def _short(name: str) -> str:
    return name if len(name) <= 32 else name[:29] + "..."


def dotted(path: Path) -> str:
    """`('targets', 0, 'name')` as `targets[0].name`, shortened in the middle, printable."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if part else "''")
    plain = quoted(text, len(text) * 10)[1:-1]
    return plain if len(plain) <= 80 else plain[:38] + "..." + plain[-38:]


def shown(value: object) -> str:
    """A value as a message shows it: a few words, never more than 46 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int | float):
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return text if len(text) <= 24 else f"a number of {len(text)} digits"
    return f"a {type(value).__name__}"
