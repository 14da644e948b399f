"""The door to the storage account: queues, tables, blobs, by connection string or by identity.

The account is the one of `AzureWebJobsStorage`, in both forms the Functions host knows: a connection string, or
`AzureWebJobsStorage__accountName` / `AzureWebJobsStorage__queueServiceUri` and its kin with the app's identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import SettingError
from shared.sessions import client_options
from shared.settings import storage_setting
from shared.waits import about_to_wait

if TYPE_CHECKING:
    from azure.data.tables import TableClient, TableServiceClient
    from azure.storage.blob import ContainerClient
    from azure.storage.queue import QueueClient

Answer = TypeVar("Answer")

MAX_DELAY_SECONDS = 6 * 24 * 3600.0  # a message's visibility may be put off by at most 7 days
FOR_EVER = -1  # the service's default is to drop a message after 7 days
CONTAINER = "relay-events"
# The SDK's own patience (15, 30, 60 s) outlasts a sender's; retries over minutes are the queue's work, not a call's.
_TIMEOUTS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 15}  # storage that hangs hangs no function
_PATIENCE: dict[str, Any] = {"retry_total": 2, "initial_backoff": 1, "increment_base": 2}


def send(queue: str, text: str, delay: float = 0.0) -> None:
    """Put a message on a queue, visible after `delay` seconds. The queue is created if it is missing."""
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    visible_in = math.ceil(min(max(delay, 0.0), MAX_DELAY_SECONDS))  # whole seconds, never too early
    client = _queue(queue)
    try:
        client.send_message(text, visibility_timeout=visible_in, time_to_live=FOR_EVER)
    except ResourceNotFoundError:
        with suppress(ResourceExistsError):
            client.create_queue()
        client.send_message(text, visibility_timeout=visible_in, time_to_live=FOR_EVER)


def queue(name: str) -> QueueClient:
    """Return the client of a queue. Whoever sends first creates the queue: see `send`."""
    return _queue(name)


@cache
def table(name: str) -> TableClient:
    """Return the client of a table. Whoever writes first creates the table: see `creating`."""
    return _tables().get_table_client(name)


def creating(name: str, write: Callable[[], Answer]) -> Answer:
    """Return what the write to a table returns; if the table turns out to be missing, create it and write again."""
    from azure.core.exceptions import ResourceNotFoundError
    from azure.data.tables import TableTransactionError

    try:
        return write()
    except (ResourceNotFoundError, TableTransactionError) as error:
        if error.status_code != 404:
            raise
        _tables().create_table_if_not_exists(name)
        return write()


def put_row(name: str, row: Mapping[str, Any]) -> None:
    """Write a row to a table, over what stood there."""
    creating(name, lambda: table(name).upsert_entity({**row}))


def rows(name: str, condition: str, values: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the rows of a table that meet the condition; none if the table has not been made yet."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        yield from table(name).query_entities(condition, parameters=dict(values))
    except ResourceNotFoundError:
        return


def write_blob(name: str, text: str) -> None:
    """Store a text under a name in the app's container, over what stood there."""
    about_to_wait()
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    container = _container()
    try:
        container.upload_blob(name, text.encode(), overwrite=True)
    except ResourceNotFoundError:
        with suppress(ResourceExistsError):
            container.create_container()
        container.upload_blob(name, text.encode(), overwrite=True)


def read_blob(name: str) -> str:
    """Return the text stored under a name."""
    return bytes(_container().download_blob(name).readall()).decode()


def delete_blob(name: str) -> None:
    """Remove what is stored under a name, if it is there."""
    from azure.core.exceptions import ResourceNotFoundError

    with suppress(ResourceNotFoundError):
        _container().delete_blob(name)


def read_blob_url(url: str) -> str:
    """Return the text of a blob named by its URL, read as this app's identity unless the URL bears its own SAS."""
    from azure.storage.blob import BlobClient

    from shared.identity import credential

    known = storage_setting()
    if known and url.startswith(_endpoint_of(known)):
        name = url[len(_endpoint_of(known)) :].strip("/").split("/", 1)
        client = BlobClient.from_connection_string(known, container_name=name[0], blob_name=name[1], **_options())
    else:
        client = BlobClient.from_blob_url(url, credential=None if "sig=" in url else credential(), **_options())
    return bytes(client.download_blob().readall()).decode()


def _endpoint_of(connection_string: str) -> str:
    from azure.storage.blob import BlobServiceClient

    return str(BlobServiceClient.from_connection_string(connection_string).url)


def _options() -> dict[str, Any]:
    return {**_PATIENCE, **_connection()}


def _connection() -> dict[str, Any]:
    return {**_TIMEOUTS, **client_options()}


@cache
def _queue(name: str) -> QueueClient:
    from azure.storage.queue import QueueClient, TextBase64EncodePolicy

    policy = TextBase64EncodePolicy()  # what the host's trigger expects by default
    if connection_string := storage_setting():
        return QueueClient.from_connection_string(connection_string, name, message_encode_policy=policy, **_options())
    from shared.identity import credential

    return QueueClient(_service_url("queue"), name, credential=credential(), message_encode_policy=policy, **_options())


@cache
def _tables() -> TableServiceClient:
    from azure.data.tables import TableServiceClient

    if connection_string := storage_setting():
        return TableServiceClient.from_connection_string(connection_string, retry_total=2, **_connection())
    from shared.identity import credential

    return TableServiceClient(_service_url("table"), credential=credential(), retry_total=2, **_connection())


@cache
def _container() -> ContainerClient:
    from azure.storage.blob import ContainerClient

    if connection_string := storage_setting():
        return ContainerClient.from_connection_string(connection_string, CONTAINER, **_options())
    from shared.identity import credential

    return ContainerClient(_service_url("blob"), CONTAINER, credential=credential(), **_options())


def _service_url(service: str) -> str:
    url = storage_setting(f"{service}ServiceUri")
    account = storage_setting("accountName")
    if not url and not account:
        raise SettingError("setting AzureWebJobsStorage (or AzureWebJobsStorage__accountName) is missing")
    return url or f"https://{account}.{service}.core.windows.net"
