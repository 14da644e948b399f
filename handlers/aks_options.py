"""What a routes file says to `aks_rollout`, and what of it may hold values of a delivery."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from handlers import aks_manifest
from handlers.aks_manifest import DNS_LABEL
from shared.azure_resource_manager import mistakes_of_place
from shared.errors import PermanentFailure
from shared.templates import Safe, harmless, without


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest` is a list of objects, or the path of a file in the package whose placeholders `values` gives; without
    it, `image` serves `model_uri` by MLflow. `event_time` tells of the event: leave it as it is."""

    subscription: str
    resource_group: str
    cluster: str
    name: str
    namespace: str = "default"
    manifest: str | list[dict[str, Any]] = ""
    values: dict[str, str] = {}
    image: str = ""
    model_uri: str = "models:/{model}/{version}"
    replicas: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080
    env: dict[str, str] = {}
    env_secret_name: str = ""
    entra: bool = False
    wait_minutes: Annotated[float, msgspec.Meta(gt=0, le=1440)] = 15.0
    event_time: str = "{timestamp}"

    def __post_init__(self) -> None:
        """Refuse what Azure or Kubernetes would refuse."""
        for wrong, sentence in _mistakes(self):
            if wrong:
                raise ValueError(sentence)
        if isinstance(self.manifest, str) and self.manifest:
            aks_manifest.path_in_package(self.manifest)


def _mistakes(options: Options) -> Iterator[tuple[bool, str]]:
    yield from mistakes_of_place(options.subscription, options.resource_group)
    yield not re.fullmatch(r"[A-Za-z0-9](?:[\w-]{0,61}[A-Za-z0-9])?", options.cluster), "`cluster` is no name of one"
    for key in ("name", "namespace", "env_secret_name"):
        text = without(getattr(options, key), "x") or "x" * (key == "env_secret_name")
        yield not DNS_LABEL.fullmatch(text), f"`{key}` may hold lower-case letters, digits and `-` only, 63 at most"
    yield not (options.manifest or options.image), "give a `manifest`, or the `image` to serve the model with"
    yield bool(options.manifest and options.image), "give `manifest` or `image`, not both"


def _part_of_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", value):
        raise PermanentFailure(
            f"the value {value[:80]!r} can't stand in `name`: lower-case letters, digits and `-` only"
        )
    return value


TEMPLATED: Mapping[str, Safe] = {
    "name": _part_of_name,
    "manifest": harmless,
    "values": harmless,
    "image": harmless,
    "model_uri": harmless,
    "env": harmless,
    "event_time": harmless,
}
