"""host.json: what of it matters to this host, with the defaults of Azure."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.host_functions import HostError


@dataclass(frozen=True)
class Settings:
    """What host.json says; times in seconds."""

    route_prefix: str = "api"
    batch_size: int = 16
    new_batch_threshold: int = 8
    max_polling_interval: float = 60.0
    visibility_timeout: float = 0.0
    max_dequeue_count: int = 5
    message_encoding: str = "base64"
    lease: int = 600  # fixed in Azure; LOCAL_QUEUE_LEASE_SECONDS shortens it for tests that crash workers

    @property
    def renewal(self) -> float:
        """Seconds between two renewals of a message's lease."""
        return self.lease / 2


def read(app_dir: Path) -> Settings:
    """Return the settings of the app in this folder; a missing host.json means the defaults."""
    path = app_dir / "host.json"
    try:
        extensions = json.loads(path.read_text()).get("extensions", {}) if path.is_file() else {}
    except ValueError as error:
        raise HostError(f"{path} is not JSON: {error}") from error
    queues = extensions.get("queues", {})
    batch = int(queues.get("batchSize", 16))
    if not 1 <= batch <= 32:
        raise HostError(f"{path}: batchSize is {batch}, and storage hands out 1 to 32 messages at a time")
    return Settings(
        route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
        batch_size=batch,
        # Azure multiplies its default by the number of cores; here it is one, as on a small Flex instance.
        new_batch_threshold=int(queues.get("newBatchThreshold", batch // 2)),
        max_polling_interval=_seconds(queues.get("maxPollingInterval", "00:01:00")),
        visibility_timeout=_seconds(queues.get("visibilityTimeout", "00:00:00")),
        max_dequeue_count=int(queues.get("maxDequeueCount", 5)),
        message_encoding=queues.get("messageEncoding", "base64").lower(),
        lease=int(os.environ.get("LOCAL_QUEUE_LEASE_SECONDS", "600")),
    )


def _seconds(value: Any) -> float:
    match = re.fullmatch(r"(?:(\d+)\.)?(\d\d?):(\d\d):(\d\d(?:\.\d+)?)", str(value))
    if not match:
        raise HostError(f"host.json: {value!r} is not a time such as 00:00:02")
    days, hours, minutes, seconds = match.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)
