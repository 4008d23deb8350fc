"""Luck that can be looked up: every draw is a hash of what it belongs to, never the next number of a stream.

Two configurations are compared fairly only if the same page, the same call and the same moment meet
the same luck in both (common random numbers). A stream cannot give that, since the order of draws
differs; a hash of the key can, and gives it in every process alike.
"""

from __future__ import annotations

from hashlib import blake2b
from statistics import NormalDist

__all__ = ["draw", "normal", "uniform", "uniforms"]

_NORMAL = NormalDist()


def draw(*key: object, size: int = 8) -> bytes:
    """`size` (1 to 64) bytes that depend on `key` alone; the parts of the key are told apart by their text."""
    return blake2b("\x1f".join(map(str, key)).encode(), digest_size=size).digest()


def uniform(*key: object) -> float:
    """A number in (0, 1), neither end included."""
    return _fraction(draw(*key))


def uniforms(count: int, *key: object) -> list[float]:
    """`count` (1 to 8) independent numbers in (0, 1) for one key, at the price of one hash."""
    raw = draw(*key, size=8 * count)
    return [_fraction(raw[start : start + 8]) for start in range(0, len(raw), 8)]


def normal(*key: object) -> float:
    """A draw from the standard normal distribution."""
    return _NORMAL.inv_cdf(uniform(*key))


def _fraction(raw: bytes) -> float:
    """52 of 64 bits, moved by half a step: (n + 1/2) / 2**52 is exact, so the ends cannot be reached by rounding."""
    return ((int.from_bytes(raw, "big") >> 12) + 0.5) * 2.0**-52
