"""What the doctor has found: how one thing stands, and what to do about it."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["ok", "warning", "wrong"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """How one thing stands. `seen` is what was seen, `advice` what to do; neither ever holds a secret.

    A target that is examined leaves the `subject` empty: it is filled in with the steps that it is examined for.
    """

    check: str
    subject: str = ""
    status: Status
    seen: str
    advice: str = ""


def ok(check: str, seen: str, subject: str = "") -> Finding:
    """Return the finding of something that is as it should be."""
    return Finding(check=check, subject=subject, status="ok", seen=seen)


def warning(check: str, seen: str, advice: str, subject: str = "") -> Finding:
    """Return the finding of something that works now, and may not tomorrow."""
    return Finding(check=check, subject=subject, status="warning", seen=seen, advice=advice)


def defect(check: str, seen: str, advice: str, subject: str = "") -> Finding:
    """Return the finding of something that will fail."""
    return Finding(check=check, subject=subject, status="wrong", seen=seen, advice=advice)
