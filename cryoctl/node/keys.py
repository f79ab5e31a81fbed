"""Keys of a node and of whoever speaks to it: who one is, whom the node allows in which role, which nodes one knows.

A folder holds `own.json` (this computer's pair, readable by its user only), `allowed.json` (public keys that may speak
to the node here) and `known.json` (public keys of nodes elsewhere). Keys are CURVE25519, shown as 64 hex digits.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from cryoctl.errors import BadInput, FileProblem
from cryoctl.node.roles import Person, Role

OWN, ALLOWED, KNOWN = "own.json", "allowed.json", "known.json"
_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,59}")


def key_folder(named: Path | None = None) -> Path:
    """Where keys are: as named, by the environment (CRYOCTL_KEYS), or the user's own folder."""
    if named is not None:
        return named
    told = os.environ.get("CRYOCTL_KEYS")
    if told:
        return Path(told)
    roaming = os.environ.get("APPDATA")
    return (Path(roaming) if roaming else Path.home() / ".config") / "cryoctl" / "keys"


def check_key(text: str) -> str:
    """A public key as typed. Raises `BadInput`."""
    key = text.strip().lower()
    if not _KEY.fullmatch(key):
        raise BadInput(
            f"key: found {text.strip()[:20]!r}, a public key has 64 hexadecimal digits; `cryoctl keys new` on the "
            "other computer shows its own"
        )
    return key


class KeyFolder:
    """Keys in one folder; what is not there yet is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stamp: tuple[int, int] | None = None
        self._allowed: dict[str, Person] = {}

    # One's own pair

    @property
    def own_public(self) -> str:
        """Empty where there is no pair yet."""
        return str(self._read(OWN).get("public", ""))

    def own_pair(self) -> tuple[bytes, bytes] | None:
        """Public and secret key, 32 bytes each; None where there is no pair yet."""
        read = self._read(OWN)
        if not read:
            return None
        try:
            public, secret = bytes.fromhex(str(read["public"])), bytes.fromhex(str(read["secret"]))
        except (KeyError, ValueError):
            raise self._damaged(OWN) from None
        return public, secret

    def make_own(self) -> str:
        """A new pair; gives the public key. An old one is refused to be overwritten.

        Raises:
            BadInput: there is one.
        """
        import zmq
        from zmq.utils import z85

        if self._read(OWN):
            raise BadInput(f"{self.folder / OWN}: there is a pair already; delete that file to make another one")
        public, secret = (z85.decode(one).hex() for one in zmq.curve_keypair())
        self._write(OWN, {"public": public, "secret": secret})
        return public

    # Whom the node here allows

    def allowed(self) -> Mapping[str, Person]:
        """By public key, as the file says now: a revoked key is refused from the next message on."""
        file = self.folder / ALLOWED
        try:
            found = file.stat()
            stamp = (found.st_mtime_ns, found.st_size)
        except OSError:
            stamp = None
        if stamp != self._stamp or stamp is None:
            people: dict[str, Person] = {}
            for name, entry in self._read(ALLOWED).items():
                told = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
                try:
                    key = check_key(str(told.get("key", "")))
                    people[key] = Person(name, Role(str(told.get("role", ""))), key)
                except (BadInput, ValueError):
                    raise self._damaged(ALLOWED) from None
            self._allowed, self._stamp = people, stamp
        return self._allowed

    def allow(self, key: str, name: str, role: Role) -> None:
        """
        Raises:
            BadInput: a key or name that is none, or the key has another name.
        """
        key = check_key(key)
        if not _NAME.fullmatch(name):
            raise BadInput(f"--name: found {name[:40]!r}, allowed are up to 60 letters, digits and _ . @ -")
        same = self.allowed().get(key)
        if same is not None and same.name != name:
            raise BadInput(f"key: it is allowed already, as {same.name}; revoke that first")
        self._write(ALLOWED, {**self._read(ALLOWED), name: {"key": key, "role": role.value}})

    def revoke(self, name: str) -> None:
        """Raises `BadInput` where nobody of this name is allowed."""
        people = self._read(ALLOWED)
        if name not in people:
            known = ", ".join(people) or "nobody"
            raise BadInput(f"{name[:40]!r}: not among the allowed, who are {known[:150]}")
        del people[name]
        self._write(ALLOWED, people)

    # Nodes elsewhere

    def know(self, address: str, key: str) -> None:
        self._write(KNOWN, {**self._read(KNOWN), address: check_key(key)})

    def known(self) -> dict[str, str]:
        """Public keys of nodes by address."""
        return {address: str(key) for address, key in self._read(KNOWN).items()}

    def server_key(self, address: str) -> bytes | None:
        found = self._read(KNOWN).get(address)
        try:
            return None if found is None else bytes.fromhex(check_key(str(found)))
        except BadInput:
            raise self._damaged(KNOWN) from None

    # Files

    def _read(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        try:
            read: Any = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            raise self._damaged(name) from None
        if not isinstance(read, dict):
            raise self._damaged(name)
        return cast("dict[str, Any]", read)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        """Whole or not at all, and nobody else's to read at any moment."""
        file = self.folder / name
        fresh = file.with_suffix(".new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as text:
                text.write(json.dumps(content, indent=1) + "\n")
            os.replace(fresh, file)
        except OSError as error:
            raise FileProblem(f"{file}: can't be written ({error.strerror}); choose another folder") from error

    def _damaged(self, name: str) -> FileProblem:
        return FileProblem(f"{self.folder / name}: can't be read as a file of keys; mend or delete it")
