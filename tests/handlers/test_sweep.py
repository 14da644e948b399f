"""The sweeper: no lost message strands a step, and the list of open events empties itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from local.system import System
from shared import ledger, open_events
from tests.conftest import IMPATIENT, Relay, until

NO_STEPS = {**IMPATIENT, "AzureWebJobs.run_step.Disabled": "1"}


def is_open(relay: Relay, event: str) -> bool:
    rows = relay.table("open").query_entities("RowKey eq @event", parameters={"event": event})
    return bool(list(rows))


def lose_pointers(relay: Relay, *events: str) -> None:
    """Wait until the events are in the ledger, then lose the messages that point to their steps."""
    until(lambda: relay.queued("events") == 0)
    until(lambda: relay.queued("steps") >= len(events))
    relay.queue("steps").clear_messages()


def test_a_step_whose_message_was_lost_goes_on_when_it_is_overdue_and_others_are_left_alone(
    own_system: System, model: str
) -> None:
    relay = Relay(own_system, own_system.worker(NO_STEPS))
    step = "tell-slack.slack"
    lost, young = relay.comment(f"slack-{model}", "lost"), relay.comment(f"slack-{model}", "young")
    lose_pointers(relay, lost, young)
    relay.worker.stop()
    relay.worker = own_system.worker(IMPATIENT)
    relay.make_overdue(lost, step)
    relay.sweep()
    until(lambda: relay.row(lost, step).get("state") == "succeeded")
    assert not relay.row(young, step), "it was claimed"
    until(lambda: relay.queued("steps") == 0)
    relay.make_overdue(young, step)
    relay.sweep()
    until(lambda: relay.row(young, step).get("state") == "succeeded")
    assert sorted(message.text for message in own_system.chat.messages) == [
        f"slack-{model}: lost",
        f"slack-{model}: young",
    ]
    until(lambda: not is_open(relay, lost) and not is_open(relay, young))


def test_an_event_that_can_not_be_read_strands_no_other(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker(NO_STEPS))
    step = "tell-slack.slack"
    events = [relay.comment(f"slack-{model}", "unreadable"), relay.comment(f"slack-{model}", "readable")]
    # the sweeper reads the list in order: the one that comes first there is the one to break
    broken, sound = sorted(events)
    lose_pointers(relay, broken, sound)
    relay.worker.stop()
    relay.worker = own_system.worker(IMPATIENT)
    relay.table("steps").update_entity({"PartitionKey": broken, "RowKey": "event", "blob": "a-blob-that-is-gone"})
    for event in events:
        relay.make_overdue(event, step)
    relay.sweep()
    until(lambda: relay.row(sound, step).get("state") == "succeeded", 15)
    assert is_open(relay, broken)


def test_the_sweeper_swept_twice_starts_nothing_twice(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker(NO_STEPS))
    step = "tell-slack.slack"
    event = relay.comment(f"slack-{model}", "hello")
    lose_pointers(relay, event)
    relay.make_overdue(event, step)
    for wanted in (1, 2, 3):
        relay.sweep()
        until(lambda wanted=wanted: relay.queued("steps") == wanted)  # type: ignore[misc]
    relay.worker.stop()
    relay.worker = own_system.worker(IMPATIENT)
    until(lambda: relay.queued("steps") == 0)
    assert relay.row(event, step).get("state") == "succeeded"
    assert len(own_system.chat.messages) == 1


def test_an_event_that_has_ended_leaves_the_list_of_open_events(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", "^/slack/", slow=1.0)
    event = relay.comment(f"slack-{model}", "hello")
    until(lambda: relay.story(event))
    assert is_open(relay, event)
    relay.ended(event)
    until(lambda: not is_open(relay, event))


def test_an_end_that_is_noted_late_leaves_an_event_on_the_list_that_was_replayed_meanwhile(
    relay: Relay, model: str
) -> None:
    event = relay.comment(f"slack-{model}", "hello")
    ended = relay.ended(event)
    until(lambda: event not in open_events.ids())
    open_events.add_again(event, datetime.now(UTC))  # as a replay does
    ledger.close(ended)
    assert event in open_events.ids()
    open_events.add_again(event, datetime.now(UTC) + timedelta(seconds=1))
    assert [each for each in open_events.ids() if each == event] == [event], "once, however many rows it has"
    ledger.close_all(event)
    assert event not in open_events.ids()


def test_an_event_that_has_ended_but_is_still_listed_is_taken_from_the_list(relay: Relay, model: str) -> None:
    event = relay.comment(f"slack-{model}", "hello")
    relay.ended(event)
    until(lambda: not is_open(relay, event))
    relay.table("open").upsert_entity({"PartitionKey": event[:1], "RowKey": event})
    relay.sweep()
    until(lambda: not is_open(relay, event))


def test_an_event_that_starts_nothing_is_never_listed(relay: Relay, model: str) -> None:
    event = relay.comment(f"unknown-{model}", "hello")
    relay.ended(event)
    assert not is_open(relay, event)
