"""HMAC-SHA256 over raw bytes, compared in constant time, against every secret that is valid now."""

from __future__ import annotations

import hmac
from collections.abc import Iterable


def digest(secret: bytes, message: bytes) -> bytes:
    """Return the 32 bytes of HMAC-SHA256."""
    return hmac.digest(secret, message, "sha256")


def is_signed(message: bytes, signature: bytes, secrets: Iterable[bytes]) -> bool:
    """Tell whether the 32-byte signature was made over the message with one of the secrets.

    Every secret is tried, also after a match, so that the time taken does not tell which one matched.
    """
    matches = [hmac.compare_digest(digest(secret, message), signature) for secret in secrets]
    return any(matches)


def is_same(given: str, secrets: Iterable[bytes]) -> bool:
    """Tell whether the text is one of the secrets, in constant time."""
    matches = [hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret) for secret in secrets]
    return any(matches)
