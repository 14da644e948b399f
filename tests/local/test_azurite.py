"""Azurite as a child process."""

import itertools
from pathlib import Path

import pytest
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local import azurite as module
from local.azurite import Azurite
from tests.local.scenes import until


def test_the_installed_azurite_is_the_pinned_one() -> None:
    assert module.installed()


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (module.HERE / "package-lock.json").read_text()


def test_blobs_queues_and_tables_answer(azurite: Azurite) -> None:
    text = azurite.connection_string
    assert BlobServiceClient.from_connection_string(text).get_account_information()
    assert list(QueueServiceClient.from_connection_string(text).list_queues()) is not None
    assert list(TableServiceClient.from_connection_string(text).list_tables()) is not None


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("PartitionKey eq 'a'", ["a1", "a2"]),
        ("PartitionKey eq 'a' and RowKey gt '1'", ["a2"]),
        ("PartitionKey eq 'a' and RowKey gt '2'", []),
        ("PartitionKey eq 'a' or RowKey eq '1'", ["a1", "a2", "b1", "c or d1", "it's1"]),
        ("PartitionKey eq 'a' and RowKey eq '1' or PartitionKey eq 'b'", ["a1", "b1"]),
        ("PartitionKey eq 'c or d'", ["c or d1"]),
        ("PartitionKey eq 'it''s'", ["it's1"]),
        ("PartitionKey eq 'none'", []),
        ("RowKey eq '1'", ["a1", "b1", "c or d1", "it's1"]),
    ],
)
def test_a_query_finds_the_rows_that_meet_its_condition_and_no_others(
    azurite: Azurite, condition: str, found: list[str]
) -> None:
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        table = service.create_table_if_not_exists("conditions")
        for key in ("a2", "a1", "b1", "c or d1", "it's1"):
            table.upsert_entity({"PartitionKey": key[:-1], "RowKey": key[-1]})
        assert [row["PartitionKey"] + row["RowKey"] for row in table.query_entities(condition)] == found


def test_a_row_is_found_by_both_of_its_keys(azurite: Azurite) -> None:
    keys = ("a", "b", "1", "01", "1.0", "A", " a", "ä")  # to some orders, some of these are the same
    pairs = list(itertools.product(keys, ("a", "1", "01"))) + list(itertools.product(("a", "1", "01"), keys))
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        table = service.create_table_if_not_exists("keys")
        for partition, row in pairs:
            table.upsert_entity({"PartitionKey": partition, "RowKey": row, "says": f"{partition}/{row}"})
        for partition, row in pairs:
            assert table.get_entity(partition, row)["says"] == f"{partition}/{row}"
        table.delete_entity("1", "a")
        with pytest.raises(ResourceNotFoundError):
            table.get_entity("1", "a")
        left = {(row["PartitionKey"], row["RowKey"]) for row in table.list_entities()}
        assert left == set(pairs) - {("1", "a")}


def test_a_restart_comes_back_at_the_same_place_and_keeps_what_was_on_disk(tmp_path: Path) -> None:
    with Azurite(tmp_path) as storage:
        service = QueueServiceClient.from_connection_string(storage.connection_string, retry_total=0)
        service.create_queue("kept").send_message("still here")
        storage.stop()
        with pytest.raises(AzureError):
            service.get_queue_client("kept").peek_messages()
        storage.start()
        assert [m.content for m in service.get_queue_client("kept").peek_messages()] == ["still here"]


def test_a_paused_azurite_answers_once_it_goes_on(tmp_path: Path) -> None:
    with Azurite() as storage:
        service = QueueServiceClient.from_connection_string(
            storage.connection_string, retry_total=0, connection_timeout=1, read_timeout=1
        )
        storage.pause()
        with pytest.raises(AzureError):
            service.create_queue("slow")
        storage.resume()
        until(lambda: "slow" in {queue.name for queue in service.list_queues()})
