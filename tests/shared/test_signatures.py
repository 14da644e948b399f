"""Signatures: accepted if and only if secret, message and signature are equal, byte for byte."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.signatures import is_same, is_signed

SECRET, MESSAGE = b"wine-dev-webhook-secret", b'{"event": "MODEL_VERSION_CREATED"}'
MANY = settings(deadline=None, max_examples=100)


def signature_of(message: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, message, hashlib.sha256).digest()


def padded(secret: bytes) -> bytes:
    """HMAC knows a secret by its first block, filled up with zeros; one longer than a block by its hash."""
    return (hashlib.sha256(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")


@MANY
@given(st.binary(), st.lists(st.binary(), max_size=3), st.binary(), st.integers(0, 3))
def test_a_message_signed_with_any_of_the_secrets_is_signed(
    message: bytes, others: list[bytes], secret: bytes, place: int
) -> None:
    secrets = [*others[:place], secret, *others[place:]]
    assert is_signed(message, signature_of(message, secret), secrets)


@MANY
@given(st.binary(max_size=64), st.binary(max_size=64))
@example(MESSAGE, MESSAGE + b"\n")
@example(MESSAGE, MESSAGE.replace(b" ", b""))
@example(b"", b"\0")
def test_a_changed_message_is_not_signed(message: bytes, other: bytes) -> None:
    assert is_signed(other, signature_of(message, SECRET), [SECRET]) is (other == message)


@MANY
@given(st.binary(max_size=80), st.binary(max_size=80))
@example(SECRET, SECRET + b"\n")
@example(SECRET, SECRET.upper())
def test_another_secret_does_not_sign(secret: bytes, other: bytes) -> None:
    assert is_signed(MESSAGE, signature_of(MESSAGE, secret), [other]) is (padded(secret) == padded(other))


def test_no_byte_of_message_secret_or_signature_may_change_by_one_bit() -> None:
    signature = signature_of(MESSAGE, SECRET)
    for bit in range(8):
        for at in range(len(MESSAGE)):
            assert not is_signed(flipped(MESSAGE, at, bit), signature, [SECRET])
        for at in range(len(SECRET)):
            assert not is_signed(MESSAGE, signature, [flipped(SECRET, at, bit)])
        for at in range(len(signature)):
            assert not is_signed(MESSAGE, flipped(signature, at, bit), [SECRET])


def flipped(text: bytes, at: int, bit: int) -> bytes:
    return text[:at] + bytes([text[at] ^ (1 << bit)]) + text[at + 1 :]


@MANY
@given(st.binary(max_size=40))
@example(signature_of(MESSAGE, SECRET)[:31])
@example(signature_of(MESSAGE, SECRET) + b"\0")
@example(b"")
def test_no_other_bytes_pass_for_the_signature(signature: bytes) -> None:
    assert is_signed(MESSAGE, signature, [SECRET]) is (signature == signature_of(MESSAGE, SECRET))


def test_without_a_secret_nothing_is_signed() -> None:
    assert not is_signed(MESSAGE, signature_of(MESSAGE, b""), [])


@MANY
@given(st.text(), st.lists(st.text(), max_size=3))
def test_a_text_is_the_same_only_if_it_is_one_of_the_secrets(given_text: str, secrets: list[str]) -> None:
    assert is_same(given_text, [secret.encode() for secret in secrets]) is (given_text in secrets)


def test_a_header_that_is_no_text_is_not_the_same_and_no_error() -> None:
    assert not is_same("\udcff", [b"Bearer a-secret-of-some-length"])
