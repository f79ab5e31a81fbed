"""Who may do what: a viewer looks, an operator controls, an admin may also take the lease from another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def may_control(self) -> bool:
        return self is not Role.VIEWER

    @property
    def may_take_over(self) -> bool:
        return self is Role.ADMIN


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever speaks to the node; `key` is the public key (hex), empty where there are no keys."""

    name: str
    role: Role
    key: str = ""
