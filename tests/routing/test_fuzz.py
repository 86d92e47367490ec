"""Everything that parses bytes from outside, fed with anything: it answers, and lives on."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from transports.fabric.messages import InvalidMessage, decode, encode
from transports.fabric.outbox import CLOSE

from json_values import JSON
from world import World, offers

METHODS = st.sampled_from([
    "initialize", "ping", "tools/list", "tools/call", "prompts/get", "resources/read",
    "resources/subscribe", "resources/unsubscribe", "completion/complete", "logging/setLevel",
    "tasks/list", "tasks/get", "server/discover", "notifications/cancelled",
    "notifications/progress", "notifications/initialized", "notifications/roots/list_changed",
    "notifications/message", "notifications/resources/updated", "notifications/tasks/status",
    "notifications/tools/list_changed", "sampling/createMessage"]) | st.text(max_size=8)
PARAMS = JSON | st.dictionaries(st.sampled_from([
    "name", "uri", "cursor", "level", "taskId", "requestId", "progressToken", "ref", "_meta",
    "arguments", "protocolVersion", "capabilities", "task"]),
    JSON | st.sampled_from(["a__t", "x:/"]))
MESSAGES = JSON | st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={"id": JSON | st.integers(0, 9), "method": METHODS, "params": PARAMS, "result": JSON,
              "error": JSON})


def new_world():
    world = World(a=offers(tools=["t"], prompts=["p"], resources=["x:/"], templates=["y:/{z}"],
                           capabilities={"logging": {}, "tasks": {"list": {}}}))
    return world, world.client(capabilities={"sampling": {}}), world.client(version="2025-03-26")


@given(st.lists(MESSAGES, max_size=8), st.booleans())
def test_whatever_clients_send_others_are_answered(messages, batched):
    world, one, other = new_world()
    for message in [messages] if batched else messages:
        for client in (one, other):
            try:
                world.router.handle(client.session, decode(encode(message)), client.outbox)
            except InvalidMessage:
                pass
    last = world.client()
    last.asks("tools/call", name="a__t")
    (called,) = [message for message in world["a"].takes() if message["method"] == "tools/call"
                 and message.get("params") == {"name": "t"}][-1:]
    world["a"].says(id=called["id"], result={"fine": True})
    assert last.get()["result"] == {"fine": True}
    for client in (one, other):
        for message in client.gets():
            assert message is CLOSE or "id" in message or "method" in message


@given(st.lists(MESSAGES, max_size=8))
def test_whatever_a_server_says_it_can_still_answer(messages):
    world, one, other = new_world()
    for server in list(world.servers.values()):
        for message in messages:
            try:
                server._on_message(decode(encode(message)))
            except InvalidMessage:
                pass
    other.gets()
    other.asks("tools/call", id=77, name="a__t")
    called = [message for message in world["a"].takes() if message.get("method") == "tools/call"]
    world["a"].says(id=called[-1]["id"], result={"fine": True})
    assert [message for message in other.gets() if message.get("id") == 77][-1]["result"] == {
        "fine": True}


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"\xff\xfe{\x00}\x00")
def test_bytes_are_decoded_or_refused(data):
    try:
        encode(decode(data))
    except InvalidMessage:
        pass
