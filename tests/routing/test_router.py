"""The rules of the routing that are no transcript: starts, handshakes, deaths, gates, caps."""

import json
import logging

import pytest

from transports.fabric.messages import InvalidMessage
from upstreams.config.entries import Entry
from upstreams.routing import from_client
from upstreams.routing.aggregate import INITIALIZE_PATIENCE

from world import World, offers


def error_of(message):
    return message["error"]["code"], message["error"]["message"]


# -- initialize


def test_capabilities_are_the_union_of_what_the_running_servers_said_and_of_what_may_come():
    world = World(a=offers(capabilities={"tools": {}, "logging": {}, "experimental": {"x": {}}}),
                  b=offers(capabilities={"tools": {"listChanged": True}, "future": {"deep": {}}}),
                  c=offers(missing=True))
    answer = world.new_client().initialize()
    may_come = dict.fromkeys(("tools", "prompts", "resources"), {"listChanged": True})
    assert answer["capabilities"] == {**may_come, "logging": {}, "experimental": {"x": {}},
                                      "future": {"deep": {}}}
    assert answer["serverInfo"]["name"] == "mcp-local-router"


def test_instructions_have_a_section_for_each_server_that_has_some():
    world = World(a=offers(instructions="Do this."), b=offers(), c=offers(instructions="Or that."))
    assert world.new_client().initialize()["instructions"] == "[a]\nDo this.\n\n[c]\nOr that."
    assert "instructions" not in World(a=offers()).new_client().initialize()


def test_a_single_surface_answers_with_the_servers_own_words():
    world = World(a=offers(instructions="Do this.", capabilities={"future": {}}), b=offers())
    assert world.new_client("a").initialize(version="2025-06-18") == {
        "protocolVersion": "2025-06-18", "capabilities": {"future": {}},
        "instructions": "Do this.", "serverInfo": {"name": "a", "version": "1"}}


@pytest.mark.parametrize("asked, answered", [
    ("2024-11-05", "2024-11-05"), ("2025-03-26", "2025-03-26"), ("2025-11-25", "2025-11-25"),
    ("2026-07-28", "2025-11-25"), ("1999-01-01", "2025-11-25"), (None, "2025-11-25"),
    ({}, "2025-11-25"),
])
@pytest.mark.parametrize("surface", [None, "a"])
def test_the_revision_is_the_clients_if_we_know_it_else_our_newest(surface, asked, answered):
    client = World(a=offers()).new_client(surface)
    assert client.initialize(version=asked)["protocolVersion"] == answered


def test_initialize_waits_for_slow_servers_but_not_for_long():
    world = World(slow=offers(tools=["s"], slow=True), fast=offers(tools=["f"]))
    client = world.new_client()
    assert client.initialize() is None
    world.clock.advance(INITIALIZE_PATIENCE)
    answer = client.get()["result"]
    assert answer["capabilities"]["tools"] == {"listChanged": True}
    client.asks("tools/list")  # the first list waits for it, too, and for longer
    assert client.gets() == []
    world.clock.advance(20)
    assert [tool["name"] for tool in client.get()["result"]["tools"]] == ["fast__f"]
    world["slow"].answer_initialize()
    assert client.get() == {"method": "notifications/tools/list_changed"}
    client.asks("tools/list")
    assert len(client.get()["result"]["tools"]) == 2


def test_a_server_that_asks_its_client_something_before_it_is_up_holds_up_no_initialize():
    world = World(share=False, a=offers(tools=["t"], slow=True))
    client = world.new_client()
    client.sends(id="init", method="initialize", params={
        "protocolVersion": "2025-11-25", "capabilities": {"roots": {}}})
    assert client.gets() == []
    server = world["a"]
    server.says(id="r", method="roots/list")
    assert client.get()["id"] == "init"
    client.sends(method="notifications/initialized")
    question = client.get()
    listing = client.asks("tools/list")     # which waits as ever
    client.sends(id=question["id"], result={"roots": []})
    assert server.take() == {"id": "r", "result": {"roots": []}} and client.gets() == []
    server.answer_initialize()
    (answer,) = [message for message in client.gets() if message.get("id") == listing]
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["a__t"]


def test_a_server_that_is_up_in_time_is_no_news():
    world = World(slow=offers(tools=["s"], slow=True))
    client = world.new_client()
    client.initialize()
    world["slow"].answer_initialize()
    assert [message["id"] for message in client.gets()] == ["init"]


def test_requests_sent_before_the_answer_to_initialize_wait_for_it_in_order():
    world = World(slow=offers(tools=["s"], slow=True))
    client = world.new_client()
    client.initialize()
    client.asks("tools/list", id=1)
    client.asks("tools/call", id=2, name="slow__s")
    client.asks("tools/call", id=3, name="slow__s")
    client.sends(method="notifications/cancelled", params={"requestId": 3})
    assert client.gets() == []
    world["slow"].answer_initialize()
    assert [message["id"] for message in client.gets()] == ["init", 1]
    assert world["slow"].take()["params"] == {"name": "s"}


def test_nothing_but_ping_comes_before_initialize():
    client = World(a=offers(tools=["t"])).new_client()
    client.asks("tools/list", id=1)
    assert error_of(client.get()) == (-32600, "tools/list: initialize comes first")
    client.asks("server/discover", id=2)
    assert error_of(client.get())[0] == -32601
    client.asks("ping", id=3)
    assert client.get()["result"] == {}


def test_a_single_surface_of_a_broken_server_says_why_and_can_be_tried_again():
    world = World(a=offers(missing=True))
    client = world.new_client("a")
    client.asks("initialize", protocolVersion="2025-11-25")
    assert error_of(client.get()) == (
        -32000, 'server "a" is not running: the command was not found')
    client.asks("initialize", protocolVersion="2025-11-25")
    assert error_of(client.get())[0] == -32000


def test_the_log_says_that_a_client_has_come_and_gone(caplog):
    world = World(a=offers(tools=["t"]))
    with caplog.at_level(logging.INFO, "router"):
        client, silent = world.client(), world.new_client()
        client.asks("ping")
        client.leaves()
        silent.leaves()
    name = client.session.name
    assert caplog.messages == [f"{name} begins: test 1 over {client.session.transport}",
                               f"{name} ends"]


def test_a_server_that_does_not_answer_in_time_fails_and_the_rest_is_served(caplog):
    world = World(slow=offers(slow=True), fast=offers(tools=["f"]))
    client = world.client()
    world.clock.advance(60.5)
    assert world["slow"].closed
    assert 'server "slow" is not running: did not answer within 60 s' in caplog.text
    client.gets()
    client.asks("tools/call", name="slow__x")
    assert error_of(client.get())[1].startswith('server "slow" is not running: did not answer')


@pytest.mark.parametrize("answer, words", [
    ({"error": {"code": 1, "message": "go away"}}, "refused to initialize: go away"),
    ({"error": 7}, "refused to initialize"),
    ({"result": []}, "refused to initialize"),
    ({"result": {"protocolVersion": "2099-01-01"}}, "speaks revision '2099-01-01' of MCP"),
    ({"result": {}}, "speaks revision None of MCP"),
])
def test_a_server_with_a_bad_answer_to_initialize_fails(answer, words, caplog):
    world = World(a=offers(slow=True))
    world["a"].says(id=world["a"].initialize["id"], **answer)
    assert words in caplog.text
    assert world["a"].closed


@pytest.mark.parametrize("capabilities", [None, [], "x", {"tools": None, "resources": []}])
def test_odd_capabilities_of_a_server_do_no_harm(capabilities):
    world = World(a={"capabilities": capabilities}, b=offers(tools=["t"]))
    assert "tools" in world.client().session.surface.initialize(
        world.client().session)["capabilities"]


# -- batches and bad input


def test_a_batch_is_answered_message_by_message():
    client = World(a=offers(tools=["t"])).client(version="2025-03-26")
    batch = [{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"no": "message"},
             {"jsonrpc": "2.0", "method": "notifications/x"},
             {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}]
    client._world.router.handle(client.session, batch, client.outbox)
    assert [message["id"] for message in client.gets()] == [1, None, 2]


@pytest.mark.parametrize("version, batch", [
    ("2025-11-25", [{"jsonrpc": "2.0", "id": 1, "method": "ping"}]), ("2025-03-26", []),
])
def test_a_batch_elsewhere_or_an_empty_one_is_refused(version, batch):
    client = World(a=offers()).client(version=version)
    with pytest.raises(InvalidMessage):
        client._world.router.handle(client.session, batch, client.outbox)


def test_a_bug_in_the_router_still_gives_an_answer(monkeypatch, caplog):
    client = World(a=offers(tools=["t"])).client()
    monkeypatch.setattr(client.session.surface, "request", lambda *_: 1 / 0)
    client.asks("tools/list")
    assert error_of(client.get())[0] == -32603
    assert "ZeroDivisionError" in caplog.text


# -- clashes


def test_of_two_bare_names_the_first_in_the_config_stays_and_the_log_says_so(caplog):
    world = World(entries={"a": Entry("a", "-"), "b": Entry("b", "-")},
                  a=offers(tools=["same", "x"]), b=offers(tools=["same", "y"]))
    client = world.client()
    for _ in range(2):
        client.asks("tools/list")
        assert [tool["name"] for tool in client.get()["result"]["tools"]] == ["same", "x", "y"]
    assert caplog.text.count("'same' of server \"b\" is left out") == 1
    client.asks("tools/call", name="same")
    assert len(world["a"].takes()) == 1


def test_of_two_equal_uris_the_first_in_the_config_is_read_and_the_log_says_so(caplog):
    world = World(a=offers(resources=["x:/"]), b=offers(resources=["x:/"]))
    client = world.client()
    client.asks("resources/list")
    assert len(client.get()["result"]["resources"]) == 1
    assert "'x:/' of server \"b\" is left out" in caplog.text


@pytest.mark.parametrize("meta", [{"ui": {"resourceUri": "ui://x"}}, {"ui/resourceUri": "ui://x"}])
def test_tools_of_two_servers_with_pages_of_the_same_uri_are_told_to_the_log(meta, caplog):
    tools = [{"name": "one", "_meta": meta}, {"name": "two", "_meta": meta}]
    world = World(a=offers(tools=tools), b=offers(tools=tools))
    client = world.client()
    for _ in range(2):
        client.asks("tools/list")
        assert len(client.get()["result"]["tools"]) == 4
    assert [record.getMessage() for record in caplog.records if "ui://x" in record.message] == [
        'tools/list: the page \'ui://x\' of server "b": a server before it in the config has one '
        "of this URI, which may be shown in its place"]


def test_a_tool_that_a_server_lists_twice_is_said_to_be_that(caplog):
    client = World(a=offers(tools=["x", "x"])).client()
    client.asks("tools/list")
    assert len(client.get()["result"]["tools"]) == 1
    assert "'a__x' of server \"a\" is left out: it lists that twice" in caplog.text


def test_an_over_long_name_is_cut_and_called_by_its_cut_form():
    world = World(a=offers(tools=["x" * 80]))
    client = world.client()
    client.asks("tools/list")
    (tool,) = client.get()["result"]["tools"]
    assert len(tool["name"]) == 64
    client.asks("tools/call", name=tool["name"])
    assert world["a"].take()["params"]["name"] == "x" * 80


# -- questions and news


def test_questions_and_news_wait_until_the_client_is_ready_for_them():
    world = World(share=False, a=offers(tools=["t"]))
    client = world.new_client()
    client.asks("initialize", capabilities={"roots": {}})
    own = world.own("a", client)
    own.says(id=1, method="roots/list")
    own.says(method="notifications/message", params={"level": "info", "data": "early"})
    assert len(client.gets()) == 1  # the answer to initialize
    client.sends(method="notifications/initialized")
    assert [message["method"] for message in client.gets()] == ["roots/list",
                                                                "notifications/message"]


def test_a_client_that_forgets_to_say_initialized_is_asked_once_it_asks():
    world = World(share=False, a=offers(tools=["t"]))
    client = world.new_client()
    client.asks("initialize", capabilities={"roots": {}})
    world.own("a", client).says(id=1, method="roots/list")
    client.gets()
    client.asks("tools/list")
    assert client.gets()[0]["method"] == "roots/list"


@pytest.mark.parametrize("said, answer", [
    ({"jsonrpc": "2.0", "id": 1}, "an answer without a result or an error, but with null"),
    ({"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "what?"}}, "what?"),
    ({"id": 1, "result": {"roots": []}}, None)])
def test_what_can_only_be_the_answer_of_a_client_ends_the_question(said, answer):
    """JavaScript leaves out a result that is undefined. The server would wait for ever."""
    world = World(share=False, a=offers(tools=["t"]))
    client = world.client(capabilities={"roots": {}})
    own = world.own("a", client)
    own.takes()
    own.says(id="q", method="roots/list")
    assert client.get()["id"] == 1
    world.router.handle(client.session, said, client.outbox)
    heard = own.take()
    assert heard["id"] == "q" and heard.get("error", {}).get("message") == answer
    with pytest.raises(InvalidMessage):     # nothing waits any more
        world.router.handle(client.session, said, client.outbox)


# -- questions on the right stream


class Stream(list):
    """A stream of its own for one call, as Streamable HTTP has them."""

    send = list.append

    def is_complete(self):
        return False


def test_a_question_goes_out_on_the_stream_of_the_one_call_in_flight():
    world = World(a=offers(tools=["t"]))
    client = world.client(capabilities={"roots": {}})
    stream, other = Stream(), Stream()
    client.sends(id=1, method="tools/call", params={"name": "a__t"}, reply_to=stream)
    own = world.own("a", client)
    own.says(id=1, method="roots/list")
    own.says(method="notifications/message", params={"level": "info"})
    assert [message["method"] for message in stream] == ["roots/list", "notifications/message"]
    client.sends(id=2, method="tools/call", params={"name": "a__t"}, reply_to=other)
    own.says(id=2, method="roots/list")  # now it could be either: on the session's own stream
    assert (len(stream), len(other), client.get()["method"]) == (2, 0, "roots/list")
    own.says(id=1, method="notifications/cancelled", params={"requestId": 1})


def test_progress_and_the_answer_stay_on_the_stream_of_their_call():
    world = World(a=offers(tools=["t"]))
    client, streams = world.client(), [Stream(), Stream()]
    for id, stream in enumerate(streams):
        client.sends(id=id, method="tools/call", reply_to=stream,
                     params={"name": "a__t", "_meta": {"progressToken": "same"}})
    first, second = (message["id"] for message in world["a"].takes())
    for id in (second, first):
        world["a"].says(method="notifications/progress",
                        params={"progressToken": id, "progress": id})
        world["a"].says(id=id, result={"of": id})
    for id, stream in zip((first, second), streams):
        assert stream[0]["params"] == {"progressToken": "same", "progress": id}
        assert stream[1]["result"] == {"of": id} and len(stream) == 2
    assert client.gets() == []


# -- what nobody should send


@pytest.mark.parametrize("message", [
    {"method": "notifications/progress"},
    {"method": "notifications/progress", "params": {"progressToken": []}},
    {"method": "notifications/cancelled", "params": {"requestId": []}},
    {"method": "notifications/resources/updated", "params": {"uri": {}}},
    {"method": "notifications/tasks/status", "params": {"taskId": {}}},
    {"method": "notifications/message", "params": {"level": []}},
    {"method": "notifications/message", "params": 3},
    {"id": 99, "result": {}}, {"id": "x", "error": {}}, {"method": "ping"},
])
def test_odd_messages_of_a_server_reach_nobody_and_stop_nothing(message):
    world = World(a=offers(tools=["t"]))
    one, other = world.client(), world.client()
    world["a"].says(**message)
    assert one.gets() == other.gets() == []
    one.asks("ping")
    assert "result" in one.get()


@pytest.mark.parametrize("message", [
    {"id": 7, "result": {}}, {"id": "x", "error": 1}, {"method": "notifications/initialized"},
    {"method": "notifications/progress", "params": {"progressToken": {}}},
    {"method": "notifications/progress", "params": []},
    {"method": "notifications/roots/list_changed"},
    {"method": "notifications/tasks/status", "params": {"taskId": []}},
])
def test_odd_messages_of_a_client_reach_no_server(message):
    world = World(a=offers(tools=["t"]))
    client = world.client()
    client.sends(**message)
    assert world["a"].takes() == []
    assert client.gets() == []


def test_a_line_of_json_that_is_no_message_is_refused_to_the_transport():
    client = World(a=offers()).client()
    for value in (7, "x", None, {}, {"jsonrpc": "2.0"}):
        with pytest.raises(InvalidMessage):
            client._world.router.handle(client.session, json.loads(json.dumps(value)),
                                        client.outbox)


# -- servers that die


def test_calls_in_flight_fail_at_once_when_their_server_dies_and_others_go_on(caplog):
    world = World(a=offers(tools=["t"]), b=offers(tools=["t"]))
    client = world.client()
    client.asks("tools/call", id=1, name="a__t")
    client.asks("tools/call", id=2, name="b__t")
    with caplog.at_level(logging.ERROR, "router"):
        world["a"].dies()
    assert error_of(client.get()) == (
        -32000, 'server "a" is not running: exited with status 1: out of luck')
    world["b"].says(id=world["b"].take()["id"], result={})
    assert client.get()["id"] == 2
    client.asks("tools/call", id=3, name="a__t")
    assert error_of(client.get())[0] == -32000  # at once, and in plain words
    assert caplog.text.count("is not running") == 1


def test_a_list_that_a_client_of_one_server_gets_as_a_whole_is_known_from_then_on():
    world = World(a=offers(tools=["old"]), b=offers(tools=["other"]))
    all_together, alone = world.client(), world.client("a")
    world["a"].offers["lists"]["tools/list"] = [{"name": "new"}]

    def calls_the_new_one():
        all_together.asks("tools/call", name="new")     # by its bare name, of which we must know
        return bool(world["a"].takes())
    assert not calls_the_new_one()
    alone.asks("tools/list", cursor="2")    # a part of it
    assert not calls_the_new_one()
    alone.asks("tools/list")
    assert calls_the_new_one()


def test_a_list_in_the_making_does_not_wait_for_a_server_that_dies():
    world = World(a=offers(tools=["t"]), b=offers(tools=["t"]))
    client = world.client()
    del world["a"].offers["lists"]["tools/list"]
    client.asks("tools/list")
    assert client.gets() == []
    world["a"].dies()
    assert [tool["name"] for tool in client.get()["result"]["tools"]] == ["b__t"]


def test_one_bad_part_of_a_servers_batch_does_not_lose_the_rest():
    world = World(a=offers(tools=["t"]))
    client = world.client()
    client.asks("tools/call", id=1, name="a__t")
    id = world["a"].take()["id"]
    world["a"]._on_message([{"jsonrpc": "2.0", "id": None, "error": {}},
                            {"jsonrpc": "2.0", "id": id, "result": {}}])
    assert client.get() == {"id": 1, "result": {}}


def test_progress_of_a_subscription_is_not_its_answer():
    world = World(a=offers(resources=["x:/"]))
    client = world.client()
    client.asks("resources/subscribe", id=1, uri="x:/", _meta={"progressToken": "p"})
    asked = world["a"].take()
    world["a"].says(method="notifications/progress",
                    params={"progressToken": asked["id"], "progress": 1})
    assert client.gets() == []
    world["a"].says(id=asked["id"], result={})
    assert client.get() == {"id": 1, "result": {}}


def test_a_subscription_to_what_no_server_lists_goes_to_the_first_that_knows_it():
    world = World(a=offers(resources=["x:/"]), b=offers(resources=["y:/"]))
    client = world.client()
    client.asks("resources/subscribe", id=1, uri="z:/")
    world["a"].says(id=world["a"].take()["id"], error={"code": -32002, "message": "not found"})
    world["b"].says(id=world["b"].take()["id"], result={})
    assert client.get() == {"id": 1, "result": {}}


def test_a_subscription_that_is_ended_and_begun_again_before_the_server_answers_is_answered():
    world = World(a=offers(resources=["x:/"]))
    client = world.client()
    for id, method in enumerate(["resources/subscribe", "resources/unsubscribe",
                                 "resources/subscribe"]):
        client.asks(method, id=id, uri="x:/")
    for asked in world["a"].takes():
        world["a"].says(id=asked["id"], result={})
    assert [message["id"] for message in client.gets()] == [0, 1, 2]


# -- tools that are not offered


@pytest.mark.parametrize("allow, deny, offered", [
    (None, (), ["read_a", "read_b", "write"]), (("read_*",), (), ["read_a", "read_b"]),
    (None, ("write", "*_b"), ["read_a"]), (("read_*",), ("read_b",), ["read_a"]), ((), (), []),
])
def test_a_tool_that_is_hidden_is_neither_listed_nor_called(allow, deny, offered):
    entry = Entry("a", "-", prefix="a__", allow=allow, deny=deny)
    world = World(entries={"a": entry}, a=offers(tools=["read_a", "read_b", "write"]))
    for surface, prefix in ((None, "a__"), ("a", "")):
        client = world.client(surface)
        client.asks("tools/list")
        assert [tool["name"] for tool in client.get()["result"]["tools"]] == [
            prefix + name for name in offered]
        for name in {"read_a", "read_b", "write"} - set(offered):
            for asked in {prefix + name, name}:  # the bare name is no way around it
                client.asks("tools/call", name=asked)
                assert error_of(client.get()) == (-32602, f"Unknown tool: {asked}")
        world["a"].says(method="notifications/tools/list_changed")  # nor a list that is not known
        client.gets()
        for name in {"read_a", "read_b", "write"} - set(offered):
            client.asks("tools/call", name=prefix + name)
            assert error_of(client.get()) == (-32602, f"Unknown tool: {prefix + name}")
        assert world["a"].takes() == []
        client.leaves()


def test_of_two_initialize_at_once_one_is_refused(monkeypatch):
    world = World(a=offers(tools=["t"]))
    client, params_of = world.new_client(), from_client.params_of
    looks = []

    def meanwhile(message):
        looks.append(message["id"])
        if looks == [1, 1]:     # in _initialize, before it has looked
            client.asks("initialize", id=2, capabilities={"roots": {}})
        return params_of(message)
    monkeypatch.setattr(from_client, "params_of", meanwhile)
    client.asks("initialize", id=1, capabilities={"roots": {}})
    answers = {message["id"]: message for message in client.gets()}
    assert "result" in answers[2] and "already" in answers[1]["error"]["message"]
    client.leaves()
    assert world.pool.owned(client.session) == []


@pytest.mark.parametrize("name", [["write"], {"write": 1}, None, 7])
@pytest.mark.parametrize("surface", [None, "a"])
def test_a_tool_name_that_is_no_text_is_refused_and_no_way_around_what_is_hidden(surface, name):
    entry = Entry("a", "-", prefix="a__", deny=("write",))
    world = World(entries={"a": entry}, a=offers(tools=["write"]))
    client = world.client(surface)
    client.asks("tools/call", name=name)
    assert error_of(client.get())[0] == -32602
    assert world["a"].takes() == []


def test_tasks_of_a_server_that_plain_clients_share_do_not_cross_on_its_own_surface():
    world = World(a=offers(tools=["t"], capabilities={"tasks": {"list": {}}}))
    one, other = world.client("a"), world.client("a")
    one.asks("tools/call", name="t", task={})
    world["a"].says(id=world["a"].take()["id"], result={"task": {"taskId": "T"}})
    one.gets()
    for method in ("tasks/get", "tasks/result", "tasks/cancel"):
        other.asks(method, taskId="T")
        assert error_of(other.get()) == (-32602, "Unknown task: T")
        assert world["a"].takes() == []
        one.asks(method, taskId="T")
        assert world["a"].take()["params"]["taskId"] == "T"
    for client, expected in ((one, ["T"]), (other, [])):
        client.asks("tasks/list")
        world["a"].says(id=world["a"].take()["id"], result={"tasks": [{"taskId": "T"}]})
        assert [task["taskId"] for task in client.get()["result"]["tasks"]] == expected


def test_a_template_of_one_segment_does_not_stand_for_a_uri_of_two():
    world = World(a=offers(templates=["doc://{x}"]), b=offers(templates=["doc://{x}/{y}"]))
    client = world.client()
    client.asks("resources/read", uri="doc://a/b")
    assert world["a"].takes() == [] and world["b"].take()["params"] == {"uri": "doc://a/b"}


def test_a_completion_goes_to_the_server_with_this_very_template():
    world = World(a=offers(templates=["doc://{x}"]), b=offers(templates=["doc://{y}"]))
    client = world.client()
    client.asks("completion/complete", ref={"type": "ref/resource", "uri": "doc://{y}"})
    assert world["a"].takes() == [] and world["b"].take()["method"] == "completion/complete"


def test_what_was_asked_before_a_refusal_of_initialize_is_refused_too_and_another_may_follow():
    world = World(a=offers(tools=["t"], slow=True))
    client = world.new_client("a")
    initialize = {"method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    client.sends(id=1, **initialize)
    client.asks("tools/list", id=2)
    client.sends(id=5, method="tools/call", params={"name": "t"})
    world["a"].dies()
    refused, *answers = client.gets()
    assert "out of luck" in refused["error"]["message"]
    assert "out of luck" in answers[0]["error"]["message"]
    assert "initialize was refused" in answers[1]["error"]["message"]
    world.offers["a"]["slow"] = False
    world.clock.advance(60)
    client.sends(id=3, **initialize)
    client.asks("tools/list", id=4)
    assert [message["id"] for message in client.gets() if "result" in message] == [3, 4]
