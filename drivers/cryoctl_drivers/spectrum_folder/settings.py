"""What an instrument file says of a folder with spectrum images."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from cryoctl.units import Seconds
from cryoctl_drivers.mounted_edx import MountedEdxSettings


def _pattern(text: str) -> str:
    if "/" in text or "\\" in text or "." not in text.lstrip("*"):
        raise ValueError(f"found {text[:40]!r}: write the pattern of a name with its ending, like '*.rpl'")
    return text


class SpectrumFolderSettings(MountedEdxSettings):
    """A file of another number or width of channels is refused."""

    folder: str = ""
    """Where the vendor's program writes; left out only where an emulator stands for it."""
    pattern: Annotated[str, AfterValidator(_pattern)] = "*.rpl"
    """Names of its files; the ending says how they are read (.rpl, .nxs, .h5, .hdf5, others by rosettasciio)."""
    dataset: str = ""
    """In HDF5 files that are no NeXus: path of the counts [y, x, channel]."""
    live_time: str = ""
    """In HDF5 files: path of the live time in s."""
    live_share: Annotated[float | None, Field(gt=0, le=1)] = None
    """Live over real time where a file does not tell it, as the vendor's panel shows it."""
    wait_s: Annotated[Seconds, Field(gt=0, le=35)] = 20.0
    """From the end of a scan frame until its file is whole."""
    poll_s: Annotated[Seconds, Field(gt=0, le=5)] = 0.2
    settle_s: Annotated[Seconds, Field(ge=0, le=10)] = 0.5
    """A file whose size has not changed for so long is read."""
    clock_slack_s: Annotated[Seconds, Field(ge=0)] = 2.0
    """By how much the clock that dates the files may be behind this computer's."""
    n_channels: Annotated[int, Field(ge=16, le=65535)] = 2048
