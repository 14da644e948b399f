"""Queue messages between bindings and storage, changed on the way as the Functions host changes them."""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

from azure_functions_runtime.bindings.datumdef import Datum

# Newtonsoft.Json takes texts of this form for dates, in any place of a message.
_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7})\d*)?(Z|[+-]\d\d:\d\d)?")


def texts(datum: Any) -> list[str | bytes]:
    """Return the messages that one output value makes: a JSON array makes one of each element.

    The host parses whatever looks like JSON and prints it anew, so even a single object arrives indented
    and with its dates rewritten; what looks like JSON and is none fails the invocation (ValueError).
    """
    if datum.type == "bytes":
        return [datum.value]
    text = datum.value if isinstance(datum.value, str) else json.dumps(datum.value)
    text.encode()  # lone surrogates do not reach the host
    if not _looks_like_json(text):
        return [text]
    parsed = json.loads(text)
    return [_printed(item) for item in (parsed if isinstance(parsed, list) else [parsed])]


def _looks_like_json(text: str) -> bool:
    text = text.strip()
    return (text[:1], text[-1:]) in {("{", "}"), ("[", "]")}


def _printed(item: object) -> str:
    item = _redated(item)
    if isinstance(item, bool):
        return str(item)
    plain = item is None or isinstance(item, str)
    text = str(item or "") if plain else json.dumps(item, indent=2, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", "\ufffd", text)  # a lone surrogate has no UTF-8: .NET replaces it


def _redated(item: object) -> object:
    if isinstance(item, dict):
        return {key: _redated(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_redated(value) for value in item]
    match = _DATE.fullmatch(item) if isinstance(item, str) else None
    return _date(match) if match else item


def _date(match: re.Match[str]) -> str:
    seconds, fraction, zone = match[1], (match[2] or "").rstrip("0"), match[3] or ""
    try:
        moment = datetime.fromisoformat(seconds + (zone if zone != "Z" else ""))
    except ValueError:
        return match[0]
    if zone not in {"", "Z"}:  # an offset becomes local time, and the clocks of Azure show UTC
        moment, zone = datetime.fromtimestamp(moment.timestamp(), tz=UTC), "+00:00"
    return f"{moment:%Y-%m-%dT%H:%M:%S}" + (f".{fraction}" if fraction else "") + zone


def encoded(message: str | bytes, encoding: str) -> str:
    """Return a message as it lies in the queue, in the encoding of host.json."""
    if encoding == "none":
        return message if isinstance(message, str) else message.decode()
    return base64.b64encode(message if isinstance(message, bytes) else message.encode()).decode()


def decoded(content: str, encoding: str) -> bytes:
    """Return the bytes of a message in a queue; ValueError when it is not in the encoding of host.json."""
    if encoding == "none":
        return content.encode()
    return base64.b64decode("".join(content.split()), validate=True)


def metadata(message: Any, text: str) -> dict[str, Any]:
    """Return what QueueMessage reads besides the text of `message`, the SDK's; None for an admin call."""
    found = _message_metadata(message) if message is not None else {}
    known = {name.lower(): name for name in found}
    for key, value in _top_level(text).items():
        # As in Azure: a key of the message that bears the name of a piece of metadata wins over it.
        if isinstance(value, str | int | float):
            found[known.get(key.lower(), key)] = Datum(str(value), "string")
    return found


def _message_metadata(message: Any) -> dict[str, Any]:
    times = {
        "InsertionTime": message.inserted_on,
        "ExpirationTime": message.expires_on,
        "NextVisibleTime": message.next_visible_on,
    }
    return {
        "Id": Datum(message.id, "string"),
        "PopReceipt": Datum(message.pop_receipt, "string"),
        "DequeueCount": Datum(str(message.dequeue_count), "string"),
        **{name: Datum(f"{value:%Y-%m-%dT%H:%M:%S}+00:00", "string") for name, value in times.items()},
    }


def _top_level(text: str) -> dict[str, object]:
    try:
        parsed = json.loads(text) if _looks_like_json(text) else None
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
