"""What was said on a link, line by line in a file, and a port that says it again: a day at the instrument as a test.

A line is JSON: `{"sent": text}` without what ends a command, or `{"got": text}` as it came; each byte one character.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from cryoctl.errors import ConnectionLost, FileProblem


class Transcript:
    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def note(self, what: str, data: bytes) -> None:
        """Appended at once, so that it is there after a crash."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({what: data.decode("latin-1")}) + "\n")
        except OSError as error:
            raise FileProblem(f"transcript {self._path}: can't be written ({error.strerror}); give another") from error


class TranscriptPort:
    """Answers as recorded, and only to what was sent then.

    Args:
        lines: (what, data) as in a transcript.
    """

    def __init__(self, lines: Iterable[tuple[str, bytes]], owner: str) -> None:
        self._lines = list(lines)
        self._owner = owner

    @classmethod
    def of_file(cls, path: str, owner: str) -> TranscriptPort:
        """
        Raises:
            FileProblem: absent, or no transcript.
        """
        try:
            told = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line]
            lines = [(str(what), str(text).encode("latin-1")) for one in told for what, text in one.items()]
        except OSError as error:
            raise FileProblem(f"{owner}: transcript {path} can't be read ({error.strerror}); give one") from error
        except (ValueError, AttributeError) as error:
            raise FileProblem(f"{owner}: {path} is no transcript; record one with settings.transcript") from error
        return cls(lines, owner)

    @property
    def left_over(self) -> int:
        """Lines that were not said again."""
        return len(self._lines)

    def write(self, data: bytes) -> None:
        sent = data.strip(b"\r\n")
        if not self._lines or self._lines[0] != ("sent", sent):
            then = self._lines[0] if self._lines else ("the end", b"")
            raise ConnectionLost(f"{self._owner}: sends {sent[:60]!r}, the transcript has {then[0]} {then[1][:60]!r}")
        del self._lines[0]

    def read(self, within_s: float) -> bytes:
        del within_s
        received = b""
        while self._lines and self._lines[0][0] == "got":
            received += self._lines.pop(0)[1]
        return received

    def close(self) -> None:
        self._lines.clear()
