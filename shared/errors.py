"""Everything that can go wrong, as one tree. Each error is a sentence that says what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.redaction import redacted


class RelayError(Exception):
    """The root: whatever this app raises on purpose."""


class SettingError(RelayError):
    """An app setting is missing or makes no sense. The message names it."""


class RoutesError(RelayError):
    """The routes file can't be used. `problems` are lines such as `routes.yaml:12: routes[0].when.model: …`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class RoutesUnavailable(RelayError):
    """The routes file could not be fetched from where `ROUTES` points to, and none was fetched before."""


class InvalidEvent(RelayError):
    """A correctly signed body that is not a valid event: answered 400."""


class SecretUnusable(RelayError):
    """Key Vault answered, but what it holds can't be used as this secret (absent, empty, short, unresolved)."""


class VaultUnavailable(RelayError):
    """Key Vault could not be asked, and nothing usable is cached."""


class ClaimLost(RelayError):
    """The row was changed by somebody else since it was read: whoever changed it goes on, we stop.

    `progress` is what stands in the row now, where the loser has asked.
    """

    def __init__(self, reason: str, progress: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.progress = progress or {}


class UnknownStep(RelayError):
    """The ledger holds no such event or step."""


class NotNow(RelayError):
    """An operator asked for what the ledger does not allow in the state that it is in."""


class Failure(RelayError):
    """A step did not succeed. `reason` is for a person, `link` leads to where more is to be seen, `retry_after` is how
    many seconds the service asked to be left alone for."""

    def __init__(self, reason: str, link: str = "", retry_after: float = 0.0) -> None:
        reason = redacted(reason)  # a service may repeat what it was sent
        super().__init__(reason)
        self.reason = reason
        self.link = link
        self.retry_after = retry_after


class TransientFailure(Failure):
    """A definite no that may be a yes later: nothing was done at the target."""


class PermanentFailure(Failure):
    """A definite no that stays one: trying again would not help."""


class Superseded(RelayError):
    """The registry has moved on since the event: what the step would do is not wanted any more.

    `look_again` are the steps of the newer event, each as an event id / step id, that have to see that what they have
    made still stands: a request of this step may have come after theirs.
    """

    def __init__(self, reason: str, look_again: Sequence[str] = ()) -> None:
        self.reason = redacted(reason)
        super().__init__(self.reason)
        self.look_again = tuple(look_again)


class AmbiguousFailure(Failure):
    """Nobody knows whether the target did it: the reply was lost, unreadable, or a 5xx."""
