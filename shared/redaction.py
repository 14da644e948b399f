"""What this process knows of secrets, so that no service's words can bring one of them out.

Services repeat what they were sent: a page that names the path it does not know, an error that quotes a header. What
they say goes into the ledger, the log and messages; a secret in it is replaced by `***`.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Iterator

SHORTEST = 8  # what is shorter stands in ordinary words too
SHORTEST_PART = 16  # of a URL's path or query: `workflows` and `services` are no secrets
APPROVAL = re.compile(r"\b([0-9a-f]{64}\.[0-9a-f]{16})\.[0-9a-f]{8,}")  # who has the last part may decide
_known: deque[str] = deque(maxlen=4000)


def remember(secret: str) -> None:
    """Keep this secret out of every failure and ledger row from now on, its forms on the wire too."""
    for form in _forms(secret):
        if form not in _known:
            _known.append(form)


def redacted(text: str) -> str:
    """Return the text with `***` for each secret that is known, for one that was cut off at its end, and for what
    makes an approval's link valid."""
    for form in sorted(_known, key=len, reverse=True):
        text = _without_beginning(text.replace(form, "***"), form)
    return APPROVAL.sub(r"\1.***", text)


def _without_beginning(text: str, form: str) -> str:
    """Long answers are cut before they come here; what is left of a secret at the end is still most of it."""
    if "://" in form:  # a host at a text's end is no secret, and the path is a form of its own
        return text
    least = SHORTEST_PART if re.search(r"[:/ ]", form[:SHORTEST_PART]) else SHORTEST
    start = text.rfind(form[:least])
    return f"{text[:start]}***" if start >= 0 and form.startswith(text[start:]) else text


def _forms(secret: str) -> Iterator[str]:
    whole = (
        secret,
        secret.partition(" ")[2],
        "" if "://" in secret else secret.partition(":")[2],  # the password of user:password
        *(base64.b64encode(f"{user}{secret}".encode()).decode() for user in ("", ":")),
    )
    yield from (form for form in whole if len(form) >= SHORTEST)
    if "://" in secret:
        path = secret.partition("://")[2].partition("/")[2]
        yield from (form for form in (path, *re.split(r"[/?&=@:]", path)) if len(form) >= SHORTEST_PART)
