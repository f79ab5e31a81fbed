"""Random numbers keyed by what they belong to, never by the order in which they are asked for."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *identity: str | int | float) -> np.random.Generator:
    """A Philox stream of its own for (seed, identity): equal identities give equal noise, whatever came before.

    Args:
        seed: of the run, 0 to 2**63-1.
        identity: device, exposure, scan frame ...
    """
    text = repr((int(seed), *identity)).encode()
    key = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def cut_normal(rng: np.random.Generator, sigma: float, cut: float = 2.0) -> float:
    """Normal around 0, redrawn until it lies within `cut` sigmas: a stated uncertainty is a bound at two sigma."""
    if sigma <= 0:
        return 0.0
    while True:
        value = float(rng.normal())
        if abs(value) <= cut:
            return value * sigma
