"""The lives of a server: from its start to its end, and to the next. Also what it says wrongly."""

import gc
import json
import logging
import sys
import weakref

import pytest

from transports.fabric.messages import InvalidMessage
from upstreams.routing import status
from upstreams.server import legacy, lists
from upstreams.server.life import CLOSED, CLOSING, LOST, NEXT, OPENED, REPLACED

from by_hand import HELLO, Sse, call
from world import World, entry, offers

ASKABLE = {"elicitation": {}, "roots": {}, "sampling": {}}


def calls(client, id=1, **params):
    client.asks("tools/call", id=id, name="a__t", **params)


def of(client, id):
    """The message with this id among those that the client got."""
    (answer,) = [message for message in client.gets() if message.get("id") == id]
    return answer


# -- the table


def test_no_event_brings_a_life_back_that_we_end_and_none_begins_it_twice():
    assert NEXT[CLOSING] == {}
    assert {state for state, events in NEXT.items() if OPENED in events} == {"starting"}
    assert {state for state, events in NEXT.items() if REPLACED in events} == {"starting"}


def test_of_several_reasons_of_an_end_the_first_one_stays():
    assert [state for state, events in NEXT.items() if LOST in events] == ["starting", "running"]
    world = World(a=offers(tools=["t"], stubborn=True))
    client = world.client()
    (upstream,) = world.pool.upstreams()["a"]
    upstream.life.give_up("the first reason")
    world["a"].dies("the second")
    assert upstream.problem == "the first reason" and upstream.state == "failed"
    calls(client)
    assert "the first reason" in client.get()["error"]["message"]


def test_a_server_that_was_told_to_end_is_not_started_again():
    world = World(a=offers(tools=["t"]))
    (upstream,) = world.pool.upstreams()["a"]
    world.pool.close()
    assert upstream.state == "closing" and upstream.life.advance(CLOSED) is None
    upstream.start()
    world.clock.advance(100)
    assert len([server for server in world.made if server.started]) == 1


@pytest.mark.parametrize("uses, config, outlook", [
    (False, {}, "it is started again when a client uses it"),
    (True, {}, "it is started again in 1 s"),
    (True, {"restart_attempts": 0}, "it is left alone until its config changes")])
def test_it_is_told_what_starts_a_server_again(caplog, uses, config, outlook):
    caplog.set_level(logging.INFO, "router")
    world = World(a=offers(tools=["t"], config=config))
    client = world.client() if uses else None
    world["a"].dies("crashed")
    assert caplog.messages[-2:] == ['server "a" is not running: crashed', f'server "a": {outlook}']
    told = status.health(world.pool)["a"]["outlook"]
    assert told == (outlook if " in " not in outlook else None)
    assert client is None or world.pool.upstreams()["a"][0].state == "failed"


def test_a_server_that_was_left_alone_may_be_wanted_by_a_client_that_connects(caplog):
    caplog.set_level(logging.INFO, "router")
    world = World(a=offers(tools=["t"], config={"restart_attempts": 1}))
    client = world.client()
    world["a"].dies("crashed")
    world.clock.advance(2)
    world["a"].dies("crashed")
    assert caplog.messages[-1].endswith("it failed 2 times in a row: it is left alone until a "
                                        "client comes or its config changes")
    client.leaves()
    world.client()
    assert status.health(world.pool)["a"]["outlook"] is None


def test_a_server_that_soon_wants_another_login_comes_back_after_it_also_if_nobody_uses_it():
    world = World(a=offers(tools=["t"]))
    for _ in range(2):
        world["a"]._on_closed("needs login", 0)     # and is there until somebody has logged in
        client = world.client()
        calls(client)
        assert client.get()["error"]["message"] == 'server "a" is not running: needs login'
        client.leaves()
        world["a"].closed = True
        world.clock.advance(2)
    calls(world.client())
    assert world["a"].take()["method"] == "tools/call"


def test_of_a_server_that_nobody_has_used_yet_it_is_told_what_starts_it():
    world = World(a=offers(tools=["t"]), share=False)
    told = status.health(world.pool)["a"]
    assert (told["state"], told["outlook"]) == (
        "not needed", "it is started when a client uses it")


# -- what an earlier life still says


def test_what_an_earlier_life_still_says_is_not_heard():
    world = World(a=offers(tools=["t"], capabilities={"logging": {}}))
    client = world.client(capabilities=ASKABLE)
    calls(client)
    old = world.own("a", client)
    client.asks("tools/list")
    client.gets()
    old.dies()
    client.gets()
    world.clock.advance(1)
    new = world.own("a", client)
    assert new is not old and new.started
    calls(client, id=2)
    our_id = new.take()["id"]
    client.gets()
    old.says(id="q", method="elicitation/create", params={"message": "the old one asks"})
    old.says(method="notifications/message", params={"level": "info", "data": "x"})
    old.says(method="notifications/tools/list_changed")
    old.says(id=our_id, result={"content": ["a lie"]})
    old.says(id=None, error={"code": -32603, "message": "a lie"})
    assert client.gets() == [] and new.takes() == []
    new.says(id=our_id, result={"content": []})
    assert client.get() == {"id": 2, "result": {"content": []}}


def test_an_answer_to_what_an_earlier_life_asked_does_not_reach_the_next():
    world = World(a=offers(tools=["t"]))
    client = world.client(capabilities=ASKABLE)
    calls(client)
    old = world.own("a", client)
    old.take()
    old.says(id="q", method="elicitation/create", params={})
    asked = [message for message in client.gets() if message.get("method")][0]
    old.dies()
    world.clock.advance(1)
    client.sends(id=asked["id"], result={"action": "accept"})
    assert world.own("a", client).takes() == []


TALKING_GRANDCHILD = """
import json, os, subprocess, sys
def say(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
CHILD = '''
import os, sys, time
while not os.path.exists(sys.argv[1]) and os.path.exists(sys.argv[2]):
    time.sleep(0.02)
print('{"jsonrpc": "2.0", "id": "old", "method": "elicitation/create", "params": {}}')
print("that was all", flush=True)
'''
heard = []
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        say(id=id, result={"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                           "serverInfo": {"name": "x", "version": "1"}})
    elif method == "tools/list":
        say(id=id, result={"tools": [{"name": "fork", "inputSchema": {"type": "object"}},
                                     {"name": "heard", "inputSchema": {"type": "object"}}]})
    elif method == "tools/call" and message["params"]["name"] == "fork":
        subprocess.Popen([sys.executable, "-c", CHILD, *sys.argv[1:]], stdin=subprocess.DEVNULL,
                         start_new_session=True)
        os._exit(0)
    elif method == "tools/call":
        say(id=id, result={"content": [], "heard": heard})
    elif method is None:
        heard.append(message)
    elif id is not None:
        say(id=id, error={"code": -32601, "message": "not here"})
"""


def test_a_grandchild_that_keeps_stdout_over_the_restart_asks_nobody(start_router, tmp_path):
    now, alive = tmp_path / "now", tmp_path / "alive"
    alive.touch()
    running = start_router({"a": {
        "command": sys.executable, "args": ["-c", TALKING_GRANDCHILD, str(now), str(alive)],
        "restart": {"pause": 0.1}}})
    try:
        with Sse(running.url, hello=False) as client:
            client.post({**HELLO, "params": {**HELLO["params"], "capabilities": ASKABLE}})
            client.get()
            client.post({"method": "notifications/initialized"})
            client.post(call(2, "a__fork"))
            while client.get().get("id") != 2:
                pass
            running.wait_for(r'server "a#\d+" is running .*')
            running.lines.clear()
            running.wait_for(r'server "a(#\d+)?" is running')
            now.touch()
            running.wait_for("skipped a line of its output.*that was all")
            client.post(call(3, "a__heard"))
            while (message := client.get()).get("id") != 3:
                assert message.get("method") != "elicitation/create"
            assert message["result"]["heard"] == []
    finally:
        alive.unlink()


# -- answers that are broken


@pytest.mark.parametrize("same", [str, float])
def test_an_id_that_came_back_as_text_or_as_a_float_is_that_of_the_request(same):
    world = World(a=offers(tools=["t"]))
    client = world.client()
    calls(client)
    world["a"].says(id=same(world["a"].take()["id"]), result={"content": []})
    assert client.get() == {"id": 1, "result": {"content": []}}


def test_a_result_beside_an_error_that_is_null_is_a_result():
    world = World(a=offers(tools=["t"]))
    client = world.client()
    calls(client)
    world["a"].says(id=world["a"].take()["id"], result={"content": []}, error=None)
    assert client.get() == {"id": 1, "result": {"content": []}}
    calls(client)
    problem = {"code": -5, "message": "no"}
    world["a"].says(id=world["a"].take()["id"], result=None, error=problem)
    assert client.get() == {"id": 1, "error": problem}
    calls(client)
    world["a"].says(id=world["a"].take()["id"], error=None)
    assert "without a result" in client.get()["error"]["message"]


def test_a_list_beside_an_error_that_is_null_is_a_list():
    world = World(a=offers(capabilities={"tools": {}}, lists={}))
    world["a"].says(id=world["a"].take()["id"], error=None, result={"tools": [{"name": "t"}]})
    client = world.client()
    client.asks("tools/list")
    world["a"].says(id=world["a"].take()["id"], error=None, result={"tools": [{"name": "t"}]})
    assert client.get()["result"] == {"tools": [{"name": "a__t"}]}


def test_an_error_without_an_id_ends_the_one_request_that_waits():
    world = World(a=offers(tools=["t"]))
    client = world.client()
    problem = {"code": -32600, "message": "what was that?"}
    for id in (1, 2):
        calls(client, id=id)
    sent = world["a"].takes()
    world["a"]._on_message([{"jsonrpc": "2.0", "id": None, "error": problem}])
    assert client.gets() == []  # it may be either
    world["a"].says(id=sent[0]["id"], result={})
    assert client.get() == {"id": 1, "result": {}}
    world["a"].says(id=None, error=problem)
    assert client.get() == {"id": 2, "error": problem}


def test_an_error_without_an_id_ends_the_start():
    world = World(a=offers(initializes="silence"))
    world["a"].says(id=None, error={"code": -32700, "message": "what was that?"})
    (upstream,) = world.pool.upstreams()["a"]
    assert upstream.state == "failed" and "what was that?" in upstream.problem


@pytest.mark.parametrize("said", [
    {"id": 7}, {"id": 7, "jsonrpc": 2.0}, {"id": "7"}, {"id": " 7"}, {"id": "7.0"}, {"id": [7]},
    {"id": 7, "jsonrpc": "2.0", "method": "tools/call"}, {"id": None, "jsonrpc": "2.0"},
    {"id": True, "jsonrpc": "2.0"}, {"jsonrpc": "2.0"}, {}])
def test_whatever_can_only_be_the_answer_of_the_one_that_waits_ends_it(said):
    world = World(a=offers(tools=["t"]))
    client = world.client()
    calls(client)
    our_id = world["a"].take()["id"]
    said = {key: json.loads(json.dumps(value).replace("7", str(our_id)))
            if key == "id" else value for key, value in said.items()}
    world["a"]._on_message({**said, "result": {"content": []}})
    assert client.get() == {"id": 1, "result": {"content": []}}


@pytest.mark.parametrize("said", [
    {"level": 30, "msg": "3 rows", "result": {"rows": 3}}, {"ev": "done", "id": 7, "result": {}},
    {"level": 50, "msg": "retry", "error": {"code": 5, "message": "of another"}}])
def test_a_log_line_with_a_result_of_its_own_ends_no_request(said):
    world = World(a=offers(tools=["t"]))
    client = world.client()
    calls(client)
    our_id = world["a"].take()["id"]
    with pytest.raises(InvalidMessage):
        world["a"]._on_message({**said, **({"id": our_id} if "id" in said else {})})
    assert client.gets() == []


def test_what_names_the_id_of_a_request_and_has_no_answer_ends_it_with_an_error():
    world = World(a=offers(tools=["t"]))
    client = world.client()
    calls(client)
    world["a"].says(id=world["a"].take()["id"])
    assert "without a result or an error" in client.get()["error"]["message"]


@pytest.mark.parametrize("said", [
    {"level": 30, "id": 7}, {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": 99},
    {"id": 99, "result": {}}, {"result": {}}, {"id": None, "result": {}}])
def test_what_may_be_something_else_ends_no_request(said):
    world = World(a=offers(tools=["t"]))
    client = world.client()
    for id in (1, 2):
        calls(client, id=id)
    our_id = world["a"].takes()[-1]["id"]
    with pytest.raises(InvalidMessage):
        world["a"]._on_message({**said, **({"id": our_id} if said.get("id") == 7 else {})})
    assert client.gets() == []


# -- what is kept of a peer has a bound in bytes


@pytest.mark.parametrize("method, long, what", [
    ("tools/call", {"name": "a__t", "id": "i" * 10_001}, "the id"),
    ("tools/call", {"name": "a__t", "_meta": {"progressToken": "t" * 10_001}},
     "the progress token"),
    ("resources/subscribe", {"uri": "x://" + "u" * 10_000}, "the URI"),
    ("initialize", {"capabilities": {"experimental": {"x": ["a" * 10] * 10_000}}},
     "capabilities and clientInfo"),
    ("initialize", {"capabilities": {}, "clientInfo": {"name": "x" * 100_000}},
     "capabilities and clientInfo"),
])
def test_what_is_too_long_to_be_kept_is_refused(method, long, what):
    world = World(a=offers(tools=["t"], capabilities={"resources": {"subscribe": True},
                                                      "tools": {}}))
    client = world.client("a")
    if method == "initialize":
        client.session.version = None
    client.sends(method=method, id=long.pop("id", 1), params=long)
    assert f"{what} ha" in (text := client.get()["error"]["message"]) and " more than 1" in text
    assert not len(client.session.calls) and world["a"].takes() == []


def test_a_list_in_pages_ends_after_so_many_bytes(monkeypatch):
    monkeypatch.setattr(lists, "MOST_BYTES", 1000)
    world = World(a=offers(capabilities={"tools": {}}, lists={}))
    pages = 0
    while asked := [m for m in world["a"].takes() if m["method"] == "tools/list"]:
        pages += 1
        world["a"].says(id=asked[0]["id"], result={
            "tools": [{"name": f"t{pages}", "description": "x" * 300}],
            "nextCursor": f"{pages}"})
    assert pages == 3
    (upstream,) = world.pool.upstreams()["a"]
    assert upstream.catalog.count("tools/list") == 3


# -- what servers say that is odd


def test_the_draft_of_the_oldest_revision_is_spoken_as_that():
    world = World(a=offers(tools=["t"], revision="2024-10-07"))
    (upstream,) = world.pool.upstreams()["a"]
    assert upstream.state == "running" and upstream.info["protocolVersion"] == "2024-11-05"


@pytest.mark.parametrize("tasks", [5, True, "all", None])
def test_tasks_that_are_no_object_break_nobodys_list_of_tasks(tasks):
    world = World(a=offers(tools=["t"], capabilities={"tasks": tasks}),
                  b=offers(capabilities={"tasks": {"list": {}}}))
    client = world.client()
    client.asks("tasks/list")
    world["b"].says(id=world["b"].take()["id"], result={"tasks": []})
    assert client.get()["result"] == {"tasks": []}


def test_a_list_of_which_the_server_names_no_end_is_told_to_the_log(caplog):
    world = World(a=offers(capabilities={"tools": {}}, lists={}))

    def pages():
        for number in (1, 2):
            world["a"].says(id=world["a"].take()["id"], result={
                "tools": [{"name": f"t{number}"}], "nextCursor": "the same"})
    pages()
    assert caplog.messages == ["a: tools/list is cut off after 2 pages, although the server names "
                               "one more"]
    client = world.client()
    client.asks("tools/list")
    pages()
    assert len(client.get()["result"]["tools"]) == 2 and len(caplog.messages) == 1


def test_an_empty_cursor_ends_the_list_of_a_legacy_server():
    world = World(a=offers(capabilities={"tools": {}}, lists={}))
    page = {"tools": [{"name": "t"}], "nextCursor": ""}
    world["a"].says(id=world["a"].take()["id"], result=page)
    assert world["a"].takes() == []
    client = world.client()
    client.asks("tools/list")
    world["a"].says(id=world["a"].take()["id"], result=page)
    assert client.get()["result"] == {"tools": [{"name": "a__t"}]}


def test_a_notification_for_a_server_that_has_not_started_is_dropped():
    world = World(a=offers(tools=["t"], slow=True))
    client = world.new_client("a")
    client.asks("initialize")
    (upstream,) = world.pool.upstreams()["a"]
    upstream.send({"jsonrpc": "2.0", "method": "notifications/x"})
    assert world["a"].takes() == []


def test_a_log_line_after_the_last_answer_never_reaches_one_who_did_not_call(monkeypatch):
    monkeypatch.setattr(legacy, "LATE_SECONDS", 0)
    world = World(a=offers(tools=["t"], capabilities={"logging": {}}))
    line = {"method": "notifications/message", "params": {"level": "info", "data": "secret"}}
    caller, other = world.client(), world.client()
    calls(caller)
    world["a"].says(id=world["a"].take()["id"], result={})
    caller.gets()
    world["a"].says(**line)     # nobody else ever called
    assert caller.get() == line and other.gets() == []
    caller.leaves()
    world["a"].says(**line)
    assert other.gets() == []


def test_whoever_subscribes_at_a_server_that_is_not_there_is_told_why():
    world = World(a=offers(resources=["x:/"]))
    client = world.client()
    world["a"].dies()
    client.asks("resources/subscribe", id=1, uri="x:/")
    assert client.get()["error"]["code"] in (-32000, -32002)


def test_a_client_sees_the_tools_of_a_server_whose_process_another_has_taken():
    world = World(a=offers(tools=["t"], config={"shared": False}))
    caller, other = world.client(), world.client()
    calls(caller)
    other.asks("tools/list")
    assert other.get()["result"] == {"tools": [{"name": "a__t"}]}


def test_what_fails_as_it_comes_back_from_its_rest_is_news_when_it_is_up():
    world = World(a=offers(tools=["t"], config={"restart_pause": 1}))
    calls(world.client(capabilities=ASKABLE))
    other = world.client()
    other.asks("tools/list")
    other.gets()
    world.offers["a"] = offers(initializes="dies")
    calls(other)    # brings it back
    other.asks("tools/list", id=2)
    assert of(other, 2)["result"] == {"tools": []}
    world.offers["a"] = offers(tools=["t"])
    world.clock.advance(2)
    assert other.get()["method"] == "notifications/tools/list_changed"


def test_a_server_that_is_not_to_be_started_again_is_not_whoever_comes():
    world = World(a=offers(tools=["t"], config={"restart_attempts": 0}))
    world["a"].dies()
    world.clock.advance(60)
    world.client()
    world.clock.advance(60)
    assert [server.label for server in world.made] == ["a"]


def test_of_more_questions_than_a_client_may_have_to_answer_the_last_is_refused(monkeypatch):
    monkeypatch.setattr("upstreams.server.life.MOST_QUESTIONS", 3)
    world = World(a=offers(tools=["t"]))
    client = world.client(capabilities={"sampling": {}})
    client.sends(id="c", method="tools/call", params={"name": "a__t"})
    server = world.own("a", client)
    server.takes()
    for id in range(4):
        server.says(id=id, method="sampling/createMessage", params={})
    assert len(client.gets()) == 3
    refusal = server.take()
    assert refusal["id"] == 3 and "wait for an answer already" in refusal["error"]["message"]


def test_of_two_levels_at_once_the_server_has_the_later_one_in_the_end():
    world = World(a=offers(capabilities={"logging": {}}))
    client, server = world.client(), world["a"]
    send = server.send

    def send_late(message):     # another thread is faster with what comes after this
        server.send = send
        client.asks("logging/setLevel", level="error")
        send(message)
    server.send = send_late
    client.asks("logging/setLevel", level="debug")
    assert [message["params"]["level"] for message in server.takes()][-1] == "error"


# -- an entry that is wrong


WRONG = "x.json: mcpServers.a.url: must not be empty"


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("capabilities", [{}, ASKABLE])
def test_a_server_whose_entry_is_wrong_has_failed_with_that_and_all_others_run(
        share, capabilities):
    world = World(share, entries={"a": entry("a", problem=WRONG), "b": entry("b")},
                  a=offers(tools=["t"]), b=offers(tools=["t"]))
    client = world.client(capabilities=capabilities)
    client.asks("tools/list")
    assert [tool["name"] for tool in client.gets()[-1]["result"]["tools"]] == ["b__t"]
    calls(client)
    assert WRONG in client.get()["error"]["message"]
    assert {server.label.partition("#")[0] for server in world.made} == {"b"}
    for _ in range(10):
        world.clock.advance(60)
    health = world.router.health()["servers"]["a"]
    assert (health["state"], health["lastError"], health["restarts"]) == ("failed", WRONG, 0)
    assert {server.label.partition("#")[0] for server in world.made} == {"b"}


@pytest.mark.parametrize("shared", [None, True, False])
@pytest.mark.parametrize("capabilities", [{}, ASKABLE])
def test_a_call_of_a_server_whose_entry_is_wrong_fails_at_once_with_that(shared, capabilities):
    world = World(entries={"a": entry("a", problem=WRONG, shared=shared)}, a=offers())
    client = world.client(capabilities=capabilities)
    calls(client)
    assert WRONG in of(client, 1)["error"]["message"]
    alone = world.new_client("a")
    alone.sends(id=1, method="initialize", params={"capabilities": capabilities})
    assert WRONG in of(alone, 1)["error"]["message"]
    assert world.made == []


def test_a_subscription_that_the_server_does_not_answer_ends_after_the_timeout_too(monkeypatch):
    world = World(entries={"a": entry("a", timeout=1)}, a=offers(resources=["a://x"]))
    monkeypatch.setattr("time.monotonic", lambda: world.clock.now)
    client = world.client()
    client.asks("resources/subscribe", id=7, uri="a://x")
    world.clock.advance(3)
    assert "did not answer within 1 seconds" in of(client, 7)["error"]["message"]
    assert [message["method"] for message in world["a"].takes()] == [
        "resources/subscribe", "notifications/cancelled"]


# -- what is kept


def test_a_session_that_has_left_is_not_kept_by_a_server_that_does_not_settle():
    world = World(a=offers(), b=offers(slow=True))
    client = world.new_client()
    client.sends(id=1, method="initialize", params={"capabilities": ASKABLE})
    client.sends(id=2, method="tools/list")
    session = weakref.ref(client.session)
    world.clock.advance(40)
    world.router.leave(client.session)
    client.session = None
    gc.collect()
    assert session() is None
