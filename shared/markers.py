"""What only this app can write: markers of steps and signatures, with a key that stands in table `relay` alone."""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from functools import cache

from shared import storage
from shared.steps import Step

RELAY = "relay"


def marker(step: Step) -> str:
    """Return what identifies the step at its target, 32 hex: nobody without access to the ledger can foretell it."""
    return sign(step.key)[:32]


def sign(text: str) -> str:
    """Return a signature over a text, 64 hex, with a key that stands in the ledger alone."""
    return hmac.digest(_marker_key(), text.encode(), "sha256").hex()


@cache
def _marker_key() -> bytes:
    from azure.core.exceptions import ResourceExistsError

    key = {"PartitionKey": "relay", "RowKey": "marker-key"}
    with suppress(ResourceExistsError):  # another process may be first: then its key is the app's key
        storage.creating(RELAY, lambda: storage.table(RELAY).create_entity({**key, "value": secrets.token_hex(32)}))
    row = storage.table(RELAY).get_entity(key["PartitionKey"], key["RowKey"])
    return bytes.fromhex(row["value"])
