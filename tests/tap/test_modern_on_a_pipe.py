"""Requests of revision 2026-07-28 over stdio: the answer goes out on the stream of the pipe."""

import json

import pytest
from modern_client import FORM, PipedClient

from transports.stateless.asked_session import TOGETHER_SECONDS
from transports.tap.tap import tap

from world import World, offers


@pytest.fixture
def here():
    """(a world, its client on the pipe, look(): what has passed since the last time)."""
    world, reader = World(share=False, a=offers(tools=["t"])), tap.open()
    client = PipedClient(world)

    def look():
        return [json.loads(record.line()) for record in reader.read(0)[0]]
    client.asks_modern("tools/list", capabilities=FORM)
    look()
    yield world, client, look
    reader.close()


def passes(messages):
    return [(one["place"], one["kind"], one["method"]) for one in messages]


def test_a_call_with_its_progress_and_its_answer_has_one_number_and_one_session(here):
    world, client, look = here
    client.asks_modern("tools/call", name="a__t", token="p")
    (sent,) = world["a"].takes()
    world["a"].says(method="notifications/progress",
                    params={"progressToken": sent["id"], "progress": 1})
    world["a"].says(id=sent["id"], result={})
    messages = look()
    assert passes(messages) == [
        ("from client", "request", "tools/call"), ("to server", "request", "tools/call"),
        ("from server", "notification", "notifications/progress"),
        ("to client", "notification", "notifications/progress"),
        ("from server", "response", "tools/call"), ("to client", "response", "tools/call")]
    assert len({one["call"] for one in messages}) == 1
    assert {one["session"] for one in messages} == {client.session.name}


def test_a_call_that_is_asked_something_and_its_retry_are_one(here):
    world, client, look = here
    call = {"name": "a__t", "capabilities": FORM}
    client.asks_modern("tools/call", **call)
    (sent,) = world["a"].takes()
    world["a"].says(id="q", method="elicitation/create", params={"message": "Who?"})
    world.clock.advance(TOGETHER_SECONDS + 0.01)
    asked = client.gets()[-1]["result"]
    (key,) = asked["inputRequests"]
    client.asks_modern("tools/call", **call, requestState=asked["requestState"],
                       inputResponses={key: {"action": "decline"}})
    world["a"].says(id=sent["id"], result={})
    messages = [one for one in look() if "list" not in str(one["method"])]
    assert [one["method"] for one in messages if one["place"] == "to client"] == [
        "tools/call"] * 2
    assert len({one["call"] for one in messages if one["method"] == "tools/call"}) == 1


def test_a_call_that_is_cancelled_is_one_with_what_cancels_it(here):
    world, client, look = here
    id = client.asks_modern("tools/call", name="a__t")
    client.cancels(id)
    messages = [one for one in look() if one["call"]]
    assert [one["method"] for one in messages] == [
        "tools/call", "tools/call", "notifications/cancelled", "notifications/cancelled"]
    assert len({one["call"] for one in messages}) == 1
