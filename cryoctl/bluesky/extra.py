"""Whether the extra `bluesky` is installed, told in one sentence where it is not."""

from __future__ import annotations

import importlib
from typing import Any

from cryoctl.errors import BadInput


def needed(module: str) -> Any:
    """A module of bluesky or event-model.

    Raises:
        BadInput: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BadInput(
            f"bluesky: {error.name or module} is not installed; install the extra, `pip install 'cryoctl[bluesky]'`"
        ) from error
