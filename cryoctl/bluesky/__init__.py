"""cryoctl in bluesky: its devices for a RunEngine, and the documents of its runs. Needs the extra `bluesky`.

`open_session` opens a run whose steps come from plans; whatever a plan exposes goes through that run's dose gate,
journal and interlocks, since none of the devices here holds a beam. `documents` tells a run file as bluesky documents.
"""

from __future__ import annotations

from cryoctl.bluesky.documents import documents
from cryoctl.bluesky.framing import Framing
from cryoctl.bluesky.session import Session, open_session

__all__ = ["Framing", "Session", "documents", "open_session"]
