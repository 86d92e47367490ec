"""Modern servers (revision 2026-07-28) behind the router, in one thread. See also the transcripts
modern-*.txt."""

import functools
import logging
import sys

import pytest

from transports.fabric.outbox import CLOSE
from upstreams.config.entries import Entry
from upstreams.eras import open_life
from upstreams.eras.era import PATIENCE
from upstreams.eras.questions import MOST_ROUNDS
from upstreams.routing import status
from upstreams.server.lists import LIST_SECONDS

import by_hand
import world
from by_hand import HELLO, Sse
from world import offers

World = functools.partial(world.World, open_life=open_life)

ASKABLE = {"roots": {}, "elicitation": {}, "sampling": {}}
META = "io.modelcontextprotocol/"
CHANGED = "notifications/tools/list_changed"


def modern(**more):
    return offers(**{"tools": ["t"], "era": "modern", **more})


def world_of(protocol="auto", shared=None, **servers):
    servers = servers or {"a": modern()}
    return World(entries={name: Entry(name, "-", prefix=f"{name}__", shared=shared,
                                      protocol=protocol) for name in servers}, **servers)


def state(world, label="a"):
    return world.pool.upstreams()[label][0].state


def began(server):
    return [message["method"] for message in server.handshake]


def alive(world):
    return [label for label, server in world.servers.items()
            if server.started and not server.closed]


def call(client, id="c1", **params):
    client.sends(id=id, method="tools/call", params={"name": "a__t", **params})


def asks(server, id, state=None, **questions):
    """The server answers: it wants to know something first."""
    server.says(id=id, result={
        "resultType": "input_required", **({"inputRequests": questions} if questions else {}),
        **({"requestState": state} if state is not None else {})})


# -- which era


def test_a_server_that_answers_server_discover_is_modern_and_never_gets_initialize():
    world = world_of()
    assert state(world) == "running" and began(world["a"]) == ["server/discover"]
    meta = world["a"].handshake[0]["params"]["_meta"]
    assert meta == {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {},
                    META + "clientInfo": {"name": "router", "version": "0"}}


@pytest.mark.parametrize("error", [
    {"code": -32601, "message": "no"}, {"code": 0, "message": "invalid during initialization"},
    {"code": -32022, "message": "no", "data": {"supported": ["2025-11-25"]}}])
def test_a_server_that_refuses_server_discover_gets_initialize_down_the_same_pipe(error):
    world = world_of(a=offers(discovers=error))
    assert state(world) == "running"
    assert began(world["a"]) == ["server/discover", "initialize"]


def test_a_server_that_says_nothing_for_two_seconds_gets_initialize_too():
    world = world_of(a=offers(discovers="silence"))
    assert began(world["a"]) == ["server/discover"]
    world.clock.advance(PATIENCE)
    assert state(world) == "running" and began(world["a"])[1:] == ["initialize"]
    world["a"].says(id=world["a"].handshake[0]["id"], error={"code": -1, "message": "too late"})
    world.clock.advance(100)
    assert state(world) == "running" and len(began(world["a"])) == 2


def test_of_a_slow_server_whichever_it_says_yes_to_first_decides():
    world = world_of(a=modern(slow=True))
    world.clock.advance(PATIENCE)  # it refuses initialize
    assert state(world) == "starting"
    world["a"].answer_discover()
    assert state(world) == "running"
    world = world_of(a=modern(slow=True, initializes="silence"))
    world.clock.advance(PATIENCE)
    world["a"].answer_discover()
    world["a"].says(id=world["a"].initialize["id"], error={"code": -32022, "message": "no"})
    assert state(world) == "running"
    assert status.health(world.pool)["a"]["revision"] == "2026-07-28"


def test_a_slow_server_that_says_yes_to_both_is_started_again_as_a_modern_one():
    """A server of both eras is legacy once it has said yes to initialize."""
    world = world_of(a=modern(slow=True, initializes="silence"))
    client = world.new_client("a")
    client.asks("initialize", capabilities=ASKABLE)
    first = world["a"]
    world.clock.advance(PATIENCE)
    first.answer_discover()
    assert state(world) == "starting" and not first.closing
    world.offers["a"]["slow"] = False
    first.answer_initialize()
    world.clock.advance(0)
    assert first.closed and began(world["a"]) == ["server/discover"]
    assert alive(world) == ["a"] and client.get()["result"]["capabilities"] == {"tools": {}}
    health = status.health(world.pool)["a"]
    assert (health["revision"], health["restarts"]) == ("2026-07-28", 0)


def test_a_yes_to_server_discover_after_the_one_to_initialize_counts_no_more():
    world = world_of(a=offers(tools=["t"], discovers="silence"))
    world.clock.advance(PATIENCE)
    world["a"].answer_discover()
    assert status.health(world.pool)["a"]["revision"] == "2025-11-25"


def test_a_server_that_refuses_both_has_failed():
    world = world_of(a=offers(era="neither"))
    assert state(world) == "failed"
    assert "refused to initialize: not here" in world.pool.upstreams()["a"][0].problem


def test_a_server_that_refuses_our_revision_and_offers_it_in_the_same_breath_is_asked_once_more():
    world = world_of(a=offers(tools=["t"], discovers="silence"))
    server = world["a"]
    odd = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}}
    server.says(id=server.handshake[0]["id"], error=odd)
    first, second = server.handshake
    assert second["method"] == "server/discover" and second["id"] != first["id"]
    server.says(id=second["id"], error=odd)
    assert began(server) == ["server/discover", "server/discover", "initialize"]
    assert status.health(world.pool)["a"]["revision"] == "2025-11-25"


def test_a_server_of_a_later_revision_only_is_told_which_ones_we_know():
    world = world_of(a=offers(discovers={"code": -32022, "message": "no",
                                         "data": {"supported": ["2027-01-01"]}}))
    assert began(world["a"]) == ["server/discover"]
    assert "speaks revisions 2027-01-01" in world.pool.upstreams()["a"][0].problem


def test_a_server_that_ends_when_it_is_asked_is_started_again_at_once_with_initialize():
    world = world_of(a=offers(tools=["t"], discovers="dies"))
    first = world["a"]
    world.clock.advance(0)
    assert first.closed and world["a"] is not first and began(world["a"]) == ["initialize"]
    assert state(world) == "running"
    assert status.health(world.pool)["a"]["restarts"] == 0
    assert world.client().session.upstreams["a"].state == "running"
    world["a"].dies()
    world.clock.advance(1)
    assert began(world["a"]) == ["initialize"]  # it is remembered


@pytest.mark.parametrize("works", [True, False])
def test_that_protocol_in_its_config_helps_is_said_once_that_is_known(caplog, works):
    with caplog.at_level(logging.INFO, "router"):
        world = world_of(a=offers(discovers="dies", initializes=None if works else "dies"))
        world.clock.advance(0)
    assert ('server "a" is started again as a legacy one: that it was asked for its era may be '
            "why it exited with status 1: out of luck") in caplog.messages
    helps = [text for text in caplog.messages if '"protocol": "legacy" in its config' in text]
    assert len(helps) == works


def test_a_server_that_ended_without_reading_the_question_did_not_end_because_of_it():
    world = world_of(a=offers(discovers="dies", unread=True))
    world.clock.advance(0)
    assert state(world) == "failed" and len(world.made) == 1


def test_whoever_waits_for_the_start_waits_for_the_second_life_too():
    world = world_of(a=offers(tools=["t"], discovers="dies"))
    client = world.new_client("a")
    client.asks("initialize", id=1, capabilities=ASKABLE)
    assert client.gets() == []
    world.clock.advance(0.5)
    assert client.get()["result"]["capabilities"] == {"tools": {}}


def test_a_server_that_ends_in_any_case_fails_after_one_more_try():
    world = world_of(a=offers(discovers="dies", initializes="dies"))
    world.clock.advance(0)
    assert state(world) == "failed" and "out of luck" in world.pool.upstreams()["a"][0].problem


def test_a_router_that_ends_between_the_two_lives_leaves_nothing():
    world = world_of(a=offers(discovers="dies"))
    first = world["a"]
    world.pool.close()
    settled = []
    world.pool.upstreams()["a"][0].when_settled(lambda: settled.append(1))
    world.clock.advance(1)
    assert settled == [1] and world.made == [first]


@pytest.mark.parametrize("protocol, first", [("legacy", "initialize"),
                                             ("modern", "server/discover")])
def test_the_config_may_say_the_era(protocol, first):
    world = world_of(protocol, a=offers(tools=["t"], era=protocol))
    assert state(world) == "running" and began(world["a"]) == [first]
    world = world_of(protocol, a=offers(era="neither"))
    assert state(world) == "failed" and began(world["a"]) == [first]
    assert f"refused {'to ' * (protocol == 'legacy')}{first}: not here" in \
        world.pool.upstreams()["a"][0].problem


def test_the_start_table_shows_the_revision_and_that_one_process_is_for_all():
    world = world_of()
    table = status.table(world.pool.upstreams()["a"])
    assert "2026-07-28" in table and "one for all" in table and "a 1" in table


# -- what is remembered of the era


def revision(world, label="a"):
    return status.health(world.pool)[label]["revision"]


def goes_on_as(world, era):
    """The server ends, and its next life is of this era."""
    mine = {"modern": modern(), "legacy": offers(tools=["t"])}[era]
    world.offers["a"].clear()
    world.offers["a"].update(mine)
    for server in list(world.made):
        if server.started and not server.closed:
            server.dies()
    world.clock.advance(10)


def test_a_server_that_becomes_legacy_serves_each_client_that_can_be_asked_with_its_own_process():
    world = world_of()
    plain, *clients = [world.client(capabilities=each) for each in ({}, ASKABLE, ASKABLE)]
    goes_on_as(world, "legacy")
    assert revision(world) == "2025-11-25"
    for client in clients:
        call(client)
    one, two = (world.own("a", client) for client in clients)
    assert one is not two and world["a"] not in (one, two)
    one.says(id="q", method="elicitation/create", params={})
    assert [message["method"] for message in clients[0].gets() if "method" in message][-1] \
        == "elicitation/create"
    assert not [message for message in clients[1].gets() + plain.gets()
                if message.get("method") == "elicitation/create"]


def test_a_server_that_becomes_modern_serves_everybody_with_one_process():
    world = world_of(a=offers(tools=["t"]))
    clients = [world.client(capabilities=ASKABLE) for _ in range(2)]
    for client in clients:
        call(client)
    assert len(alive(world)) == 2
    goes_on_as(world, "modern")
    world.clock.advance(60)
    for client in clients:
        call(client, id="c2")
        assert world.own("a", client) is world.own("a", clients[0])
    assert revision(world) == "2026-07-28" and len(alive(world)) == 1


def test_a_server_that_dies_of_how_it_was_asked_may_do_so_again_after_it_has_run():
    world = world_of(a=offers(tools=["t"], discovers="dies"))
    client = world.client()
    world.clock.advance(0)
    world.offers["a"].update(initializes="dies")
    world["a"].dies()           # it has run, and cannot start for a moment
    world.clock.advance(1)
    world.offers["a"].update(initializes=None)
    world.clock.advance(2)      # the failure of what was remembered: it is asked again, and dies
    assert began(world["a"]) == ["initialize"] and state(world) == "running"
    assert client.session.upstreams["a"].restarts.count == 2


@pytest.mark.parametrize("spoilt", [{"code": -32603, "message": "not JSON"}, "silence"])
def test_a_server_whose_answer_was_spoilt_by_what_it_printed_is_asked_again_in_each_life(spoilt):
    printed = "skipped a line of its output: Welcome! (not JSON: …)"
    world = world_of(a=offers(tools=["t"], discovers=spoilt, skipped=printed))
    world.clock.advance(PATIENCE)
    assert revision(world) == "2025-11-25"
    client = world.client(capabilities=ASKABLE)
    call(client)
    assert began(world.own("a", client))[0] == "server/discover"


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_what_a_server_printed_is_why_it_did_not_start(era):
    printed = "skipped a line of its output: Welcome! (not JSON: …)"
    world = world_of(a=offers(discovers="silence", skipped=printed, **(
        {"initializes": "silence"} if era == "legacy" else {"era": "modern"})))
    world.clock.advance(60)
    assert world.pool.upstreams()["a"][0].problem == (
        "did not answer within 60 seconds: " + printed)
    world = world_of(a=modern(discovers={"code": -32603, "message": "spoilt"}, skipped=printed))
    assert world.pool.upstreams()["a"][0].problem == printed


BANNER = """
import json, sys
print("Welcome! ", end="")
for line in sys.stdin:
    message = json.loads(line)
    answers = {"initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                              "serverInfo": {"name": "x", "version": "1"}},
               "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
               "tools/call": {"content": []}}
    method = message.get("method")
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **(
            {"result": answers[method]} if method in answers else
            {"error": {"code": -32601, "message": "not here"}})}), flush=True)
"""


def test_a_process_that_prints_something_first_runs_for_every_client(start_router):
    running = start_router({"a": {"command": sys.executable, "args": ["-c", BANNER]}})
    with Sse(running.url, hello=False) as client:
        client.post({**HELLO, "params": {**HELLO["params"], "capabilities": ASKABLE}})
        client.post({"method": "notifications/initialized"})
        client.post(by_hand.call(2, "a__t"))
        while (answer := client.get()).get("id") != 2:
            pass
        assert answer["result"] == {"content": []}


# -- requests


def test_what_a_client_says_in_its_meta_speaks_for_nobody():
    world = world_of(a=modern(capabilities={"logging": {}}))
    client, loud = world.client(), world.client()
    client.asks("logging/setLevel", level="error")
    loud.asks("logging/setLevel", level="info")
    call(client, _meta={META + "logLevel": "info", META + "related-task": {"taskId": "1"}})
    meta = world["a"].take()["params"]["_meta"]
    assert meta[META + "logLevel"] == "error" and meta[META + "related-task"] == {"taskId": "1"}


def test_the_tasks_extension_of_a_legacy_client_is_not_declared():
    world = world_of()
    client = world.client(capabilities={"extensions": {META + "tasks": {}, "org.example/x": {}}})
    call(client)
    assert world["a"].take()["params"]["_meta"][META + "clientCapabilities"] == {
        "extensions": {"org.example/x": {}}}


def test_an_empty_cursor_of_a_modern_server_is_one_like_any_other():
    world = world_of(a=modern(lists={}, capabilities={"tools": {}}))
    for number, cursor in enumerate(["", None]):
        message = world["a"].take()
        assert message["params"].get("cursor") == (None, "")[number]
        world["a"].says(id=message["id"], result={
            "tools": [{"name": f"t{number}"}], **({} if cursor is None else {"nextCursor": ""})})
    assert world.pool.upstreams()["a"][0].catalog.count("tools/list") == 2


def test_a_request_says_who_its_client_is_what_it_can_be_asked_and_which_log_lines_it_wants():
    world = world_of()
    client = world.new_client()
    client.asks("initialize", capabilities=ASKABLE, clientInfo={"name": "editor", "version": "9"})
    client.asks("logging/setLevel", level="info")
    call(client, _meta={"progressToken": "p", META + "clientInfo": "somebody else"})
    sent = world["a"].take()
    assert sent["params"]["_meta"] == {
        "progressToken": sent["id"], META + "protocolVersion": "2026-07-28",
        META + "clientInfo": {"name": "editor", "version": "9"},
        META + "clientCapabilities": ASKABLE, META + "logLevel": "info"}
    assert sent["params"]["name"] == "t"


def test_a_client_gets_progress_and_the_result_with_fields_that_it_does_not_know():
    world = world_of()
    client = world.client()
    call(client, _meta={"progressToken": "p"})
    id = world["a"].take()["id"]
    world["a"].says(method="notifications/progress", params={"progressToken": id, "progress": 1})
    world["a"].says(id=id, result={"resultType": "complete", "content": [], "ttlMs": 5})
    progress, answer = client.gets()
    assert progress["params"] == {"progressToken": "p", "progress": 1}
    assert answer == {"id": "c1", "result": {"resultType": "complete", "content": [], "ttlMs": 5}}


def test_a_client_that_cancels_or_leaves_has_its_call_cancelled_at_the_server():
    world = world_of()
    client, other = world.client(), world.client()
    call(client)
    call(other)
    one, two = (message["id"] for message in world["a"].takes())
    client.sends(method="notifications/cancelled", params={"requestId": "c1"})
    assert world["a"].take()["params"]["requestId"] == one
    other.leaves()
    assert world["a"].take()["params"]["requestId"] == two


LINE = {"method": "notifications/message", "params": {"level": "info", "data": "x"}}


def test_a_log_line_goes_to_the_caller_at_its_level():
    world = world_of(a=modern(capabilities={"logging": {}}))
    client, other = world.client(), world.client()
    client.asks("logging/setLevel", level="info", id=1)
    assert client.get() == {"id": 1, "result": {}} and world["a"].takes() == []
    call(client)
    debug = {**LINE, "params": {"level": "debug", "data": "x"}}
    world["a"].says(**debug)
    world["a"].says(**LINE)
    assert client.get() == LINE and other.gets() == []
    world["a"].says(id=world["a"].take()["id"], result={})
    client.gets()
    world["a"].says(**LINE)  # after the answer there must be none
    assert client.gets() == other.gets() == []


def test_a_caller_that_has_set_no_level_hears_all_that_the_server_says():
    """As from a legacy server, which chooses the level itself then."""
    world = world_of(a=modern())
    client = world.client()
    call(client)
    sent = world["a"].take()
    assert sent["params"]["_meta"][META + "logLevel"] == "debug"
    debug = {**LINE, "params": {"level": "debug", "data": "x"}}
    world["a"].says(**debug)
    assert client.get() == debug


def test_what_we_ask_ourselves_brings_no_log_lines():
    world = world_of(a=modern(lists={}, capabilities={"tools": {}}))
    assert META + "logLevel" not in world["a"].take()["params"]["_meta"]


def test_a_log_line_while_two_have_calls_goes_to_neither():
    world = world_of(a=modern(capabilities={"logging": {}}))
    one, other = world.client(), world.client()
    other.asks("logging/setLevel", level="info")
    other.gets()
    call(one)
    call(other)
    world["a"].says(**LINE)
    assert one.gets() == other.gets() == []


def test_a_call_fails_when_the_server_ends_and_the_next_life_is_modern_again():
    world = world_of()
    client = world.client()
    call(client)
    world["a"].dies()
    assert "out of luck" in client.get()["error"]["message"]
    world.clock.advance(1)
    call(client)
    assert began(world["a"]) == ["server/discover"]
    assert world["a"].take()["params"]["_meta"][META + "protocolVersion"] == "2026-07-28"


def test_initialize_is_answered_from_server_discover_without_what_legacy_clients_cannot_use():
    world = world_of(a=modern(instructions="Be kind.", capabilities={
        "logging": {}, "tools": {"listChanged": True}, "listens": True, "tasks": {"list": {}},
        "extensions": {"io.modelcontextprotocol/tasks": {}, "org.example/x": {"y": 1}}},
        listens=True))
    assert world.new_client("a").initialize() == {
        "protocolVersion": "2025-11-25", "instructions": "Be kind.",
        "serverInfo": {"name": "a", "version": "1"},
        "capabilities": {"logging": {}, "tools": {"listChanged": True}, "listens": True,
                         "extensions": {"org.example/x": {"y": 1}}}}


# -- one process for everybody


def test_twenty_clients_that_can_be_asked_share_one_process():
    world = world_of()
    clients = [world.client(capabilities=ASKABLE) for _ in range(20)]
    for client in clients:
        call(client)
    assert alive(world) == ["a"]
    for client, sent in zip(clients, world["a"].takes()):
        world["a"].says(id=sent["id"], result={"of": sent["id"]})
        assert client.get()["result"] == {"of": sent["id"]}
    clients[0].leaves()
    assert alive(world) == ["a"]


@pytest.mark.parametrize("shared", [None, True])
def test_a_client_that_comes_before_the_era_is_known_waits_for_the_first_process(shared):
    world = world_of(shared=shared, a=modern(slow=True))
    client = world.new_client("a")
    client.asks("initialize", capabilities=ASKABLE)
    assert alive(world) == ["a"] and client.gets() == []
    world["a"].answer_discover()
    assert client.get()["result"]["capabilities"] == {"tools": {}}
    assert alive(world) == ["a"]


def test_if_it_turns_out_to_be_legacy_the_client_gets_a_process_that_may_ask_it():
    world = world_of(a=offers(tools=["t"], discovers="silence"))
    client = world.new_client("a")
    client.asks("initialize", capabilities=ASKABLE)
    assert alive(world) == ["a"] and client.gets() == []
    world.clock.advance(PATIENCE)
    world.clock.advance(PATIENCE)
    assert client.get()["result"]["capabilities"] == {"tools": {}}
    client.sends(id=1, method="tools/call", params={"name": "t"})
    world.clock.advance(PATIENCE)
    (label,) = alive(world)
    assert world[label].initialize["params"]["capabilities"] == ASKABLE
    assert world[label].take()["params"] == {"name": "t"}
    client.leaves()
    assert alive(world) == []


def test_a_client_whose_patience_ends_before_the_era_is_known_moves_when_it_is():
    world = world_of(a=offers(tools=["t"], discovers="silence", initializes="silence"))
    client = world.new_client()
    client.asks("initialize", capabilities=ASKABLE)
    world.clock.advance(5)
    assert "tools" in client.get()["result"]["capabilities"]
    call(client)
    world.offers["a"].update(discovers=None, initializes=None)
    world["a"].answer_initialize()
    world.clock.advance(1)
    (label,) = alive(world)
    assert world[label].initialize["params"]["capabilities"] == ASKABLE


@pytest.mark.parametrize("era", ["legacy", "modern", "none"])
def test_a_call_of_a_client_that_can_be_asked_waits_until_the_era_is_known(era):
    world = world_of(a=offers(tools=["t"], discovers="silence", initializes="silence"))
    client = world.new_client()
    client.asks("initialize", capabilities=ASKABLE)
    world.clock.advance(5)
    assert client.get()["id"] == 1
    call(client)
    assert client.gets() == [] and world["a"].takes() == []
    how = "dies" if era == "none" else None
    world.offers["a"].update(discovers=how, initializes=how)
    server = world["a"]
    if era == "legacy":
        server.answer_initialize()
    elif era == "modern":
        server.answer_discover()
        server.says(id=server.initialize["id"], error={"code": -32601, "message": "not here"})
    else:
        server.dies()
    world.clock.advance(1)
    if era == "none":
        (answer,) = [message for message in client.gets() if message.get("id") == "c1"]
        assert "out of luck" in answer["error"]["message"]
        return
    (label,) = alive(world)
    sent = [message for message in world[label].takes() if message["method"] == "tools/call"]
    world[label].says(id=sent[0]["id"], result={"resultType": "complete"})
    assert len(sent) == 1 and [message for message in client.gets() if message.get("id") == "c1"]


def test_a_server_that_could_not_be_asked_is_not_taken_for_a_legacy_one():
    away = {"code": -32000, "message": "502 Bad Gateway"}
    world = world_of(a=modern(discovers=away, initializes=away))
    assert state(world) == "failed"
    world.offers["a"].update(discovers=None, initializes=None)
    clients = [world.new_client() for _ in range(2)]
    for client in clients:
        client.asks("initialize", capabilities=ASKABLE)
    world.clock.advance(60)
    for client in clients:
        call(client)
    assert len(alive(world)) == 1 and state(world) == "running"


def test_with_shared_false_every_client_has_its_own_from_its_first_call_on():
    world = world_of(shared=False)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    call(two)
    assert world.own("a", one) is not world.own("a", two)
    one.leaves()
    assert len(alive(world)) == 1


def test_with_one_client_only_the_process_is_its_own():
    world = World(share=False, a=modern())
    client = world.client(capabilities=ASKABLE)
    call(client)
    assert world["a"].take()["params"]["_meta"][META + "clientCapabilities"] == ASKABLE


# -- questions


ROOTS = {"method": "roots/list"}
FORM = {"method": "elicitation/create", "params": {"mode": "form", "message": "Who?",
                                                   "requestedSchema": {"type": "object"}}}


def nothing_is_left(world, *clients):
    for client in clients:
        assert len(client.session.pending) == len(client.session.calls) == 0
    for upstream in world.pool.upstreams()["a"]:
        assert len(upstream.life.pending) == len(upstream.life.calls) == 0


def test_questions_of_an_answer_reach_the_caller_all_at_once_and_its_answers_the_server():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client, arguments={"x": 1}, _meta={"progressToken": 7})
    first = world["a"].take()
    state = "opaque \u2028 \"\\/ \U0001f600 \ud800"
    asks(world["a"], first["id"], state, who=FORM, where=ROOTS)
    who, where = client.gets()
    assert (who["method"], who["params"], where["method"]) == (
        FORM["method"], FORM["params"], "roots/list")
    client.sends(id=where["id"], result={"roots": []})
    assert world["a"].takes() == []
    client.sends(id=who["id"], result={"action": "accept", "content": {"name": "I"}})
    second = world["a"].take()
    assert second["id"] != first["id"]
    assert second["params"].pop("inputResponses") == {
        "who": {"action": "accept", "content": {"name": "I"}}, "where": {"roots": []}}
    assert second["params"].pop("requestState") == state
    first["params"]["_meta"]["progressToken"] = second["id"]
    assert second["params"] == first["params"]
    world["a"].says(method="notifications/progress",
                    params={"progressToken": second["id"], "progress": 1})
    world["a"].says(id=second["id"], result={"content": []})
    progress, answer = client.gets()
    assert progress["params"]["progressToken"] == 7
    assert answer == {"id": "c1", "result": {"content": []}}
    nothing_is_left(world, client)


def test_another_round_has_its_own_state_or_none():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    asks(world["a"], world["a"].take()["id"], "one", a=ROOTS)
    client.sends(id=client.get()["id"], result={"n": 1})
    asks(world["a"], world["a"].take()["id"], None, b=ROOTS)
    client.sends(id=client.get()["id"], result={"n": 2})
    params = world["a"].take()["params"]
    assert params["inputResponses"] == {"b": {"n": 2}} and "requestState" not in params


def test_two_clients_with_equal_ids_are_each_asked_only_their_own():
    world = world_of()
    clients = [world.client(capabilities=ASKABLE) for _ in range(2)]
    for client in clients:
        call(client, id=1)
    for number, sent in enumerate(world["a"].takes()):
        asks(world["a"], sent["id"], str(number), q={**ROOTS, "params": {"of": number}})
    for number, client in enumerate(clients):
        question = client.get()
        assert question["params"] == {"of": number}
        client.sends(id=question["id"], result={"from": number})
        params = world["a"].take()["params"]
        assert params["inputResponses"] == {"q": {"from": number}}
        assert params["requestState"] == str(number)


class Stream:
    """The stream of one POST, for what belongs to its call."""

    def __init__(self):
        self.got = []

    def send(self, message):
        self.got.append(message)

    def expect_one_less(self):
        pass

    def is_complete(self):
        return False


def test_questions_travel_on_the_stream_of_their_call_however_many_calls_there_are():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    streams = [Stream(), Stream()]
    for number, stream in enumerate(streams):
        client.sends(id=number, method="tools/call", params={"name": "a__t"}, reply_to=stream)
    for number, sent in enumerate(world["a"].takes()):
        asks(world["a"], sent["id"], q={**ROOTS, "params": {"of": number}})
    assert [[message["params"] for message in stream.got] for stream in streams] == [
        [{"of": 0}], [{"of": 1}]]
    assert client.gets() == []


@pytest.mark.parametrize("method, params", [
    ("prompts/get", {"name": "a__p"}), ("resources/read", {"uri": "a:/"})])
def test_prompts_and_resources_may_ask_too(method, params):
    world = world_of(a=modern(prompts=["p"], resources=["a:/"]))
    client = world.client(capabilities=ASKABLE)
    client.asks(method, id=1, **params)
    asks(world["a"], world["a"].take()["id"], "s", q=ROOTS)
    client.sends(id=client.get()["id"], result={"roots": []})
    assert world["a"].take()["params"]["inputResponses"] == {"q": {"roots": []}}


def test_an_answer_that_asks_nothing_is_asked_for_again_after_growing_pauses():
    world = world_of()
    client = world.client()
    call(client)
    for pause in (0.05, 0.1, 0.2, 0.25, 0.25):
        asks(world["a"], world["a"].take()["id"], "later")
        world.clock.advance(pause - 0.01)
        assert world["a"].received == []
        world.clock.advance(0.01)
        assert world["a"].received[0]["params"]["requestState"] == "later"
        assert "inputResponses" not in world["a"].received[0]["params"]
    client.sends(method="notifications/cancelled", params={"requestId": "c1"})
    asks(world["a"], world["a"].takes()[0]["id"], "later")
    world.clock.advance(1)
    assert world["a"].takes() == [] and client.gets() == []
    nothing_is_left(world, client)


def test_a_server_may_ask_in_ten_rounds_and_no_more():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    for _ in range(MOST_ROUNDS):
        asks(world["a"], world["a"].take()["id"], "s", q=ROOTS)
        client.sends(id=client.get()["id"], result={"roots": []})
    asks(world["a"], world["a"].take()["id"], "s", q=ROOTS)
    assert "after 10 rounds" in client.get()["error"]["message"]
    nothing_is_left(world, client)


@pytest.mark.parametrize("capabilities, question, missing", [
    ({}, ROOTS, {"roots": {}}),
    ({"roots": {}}, {"method": "sampling/createMessage", "params": {}}, {"sampling": {}}),
    ({"sampling": {}}, {"method": "sampling/createMessage", "params": {"tools": []}},
     {"sampling": {"tools": {}}}),
    ({"elicitation": {}}, {"method": "elicitation/create", "params": {"mode": "url"}},
     {"elicitation": {"url": {}}}),
    ({"elicitation": {"url": {}}}, FORM, {"elicitation": {"form": {}}})])
def test_a_question_that_the_client_has_not_declared_never_reaches_it(
        capabilities, question, missing):
    world = world_of()
    client = world.client(capabilities=capabilities)
    call(client)
    asks(world["a"], world["a"].take()["id"], "s", q=question)
    error = client.get()["error"]
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": missing})
    assert question["method"] in error["message"] and '"a"' in error["message"]
    nothing_is_left(world, client)


@pytest.mark.parametrize("questions", [
    {"q": {"method": "tools/list"}}, {"q": 1}, [1], 5, {"q": {"method": ["roots/list"]}},
    {"q": {"method": "roots/list", "params": 1}}])
def test_a_question_that_is_none_ends_the_call_with_an_error(questions):
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    world["a"].says(id=world["a"].take()["id"], result={
        "resultType": "input_required", "inputRequests": questions})
    assert "wants to know something in a way" in client.get()["error"]["message"]
    nothing_is_left(world, client)


def test_a_question_reaches_the_client_with_nothing_but_its_method_and_params():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    asks(world["a"], world["a"].take()["id"], q={
        **ROOTS, "jsonrpc": "1.0", "result": {}, "id": 1, "error": {}})
    question = client.get()
    assert question.keys() == {"id", "method"} and question["method"] == "roots/list"


def test_a_server_may_ask_a_hundred_things_at_once_and_no_more():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    asks(world["a"], world["a"].take()["id"], **{str(n): ROOTS for n in range(101)})
    assert "more than 100 things" in client.get()["error"]["message"]
    nothing_is_left(world, client)


@pytest.mark.parametrize("elicitation", [{}, {"form": {}}, {"applyDefaults": True}])
def test_a_form_is_covered_by_every_way_to_declare_it(elicitation):
    world = world_of()
    client = world.client(capabilities={"elicitation": elicitation})
    call(client)
    asks(world["a"], world["a"].take()["id"], q=FORM)
    assert client.get()["params"] == FORM["params"]


def test_a_page_to_visit_has_the_id_that_legacy_clients_need():
    world = world_of()
    client = world.client(capabilities={"elicitation": {"url": {}}})
    call(client)
    asks(world["a"], world["a"].take()["id"], q={"method": "elicitation/create", "params": {
        "mode": "url", "url": "https://x.example", "message": "Go"}})
    assert isinstance(client.get()["params"]["elicitationId"], str)


def test_a_question_that_the_client_answers_with_an_error_ends_the_call_with_that():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    asks(world["a"], world["a"].take()["id"], "s", q=ROOTS, r=ROOTS)
    one, two = client.gets()
    problem = {"code": -1, "message": "no", "data": [1]}
    client.sends(id=one["id"], error=problem)
    answer, taken_back = client.gets()
    assert answer == {"id": "c1", "error": problem}
    assert taken_back["method"] == "notifications/cancelled"
    assert taken_back["params"]["requestId"] == two["id"]
    client.sends(id=two["id"], result={})
    assert world["a"].takes() == client.gets() == []
    nothing_is_left(world, client)


def test_a_client_that_cancels_the_call_has_its_questions_taken_back():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    asks(world["a"], world["a"].take()["id"], "s", q=ROOTS, r=ROOTS)
    questions = {message["id"] for message in client.gets()}
    client.sends(method="notifications/cancelled", params={"requestId": "c1"})
    assert {message["params"]["requestId"] for message in client.gets()} == questions
    assert world["a"].takes() == []
    nothing_is_left(world, client)


def test_a_client_that_leaves_while_it_is_asked_leaves_nothing():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    asks(world["a"], world["a"].take()["id"], "s", q=ROOTS)
    client.leaves()
    assert client.gets()[-1] is CLOSE and world["a"].takes() == []
    nothing_is_left(world, client)


def test_a_server_that_ends_while_the_client_is_asked_fails_the_call_at_once():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    asks(world["a"], world["a"].take()["id"], "s", q=ROOTS)
    question = client.get()
    world["a"].dies()
    taken_back, answer = client.gets()
    assert taken_back["params"]["requestId"] == question["id"]
    assert answer["id"] == "c1" and "out of luck" in answer["error"]["message"]
    client.sends(id=question["id"], result={})
    world.clock.advance(1)
    assert world["a"].takes() == []  # nothing is asked of its next life
    nothing_is_left(world, client)


def test_a_client_that_leaves_between_two_questions_of_a_round_leaves_nothing():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    ask = client.session.ask

    def leave_after_the_first(message, question):
        ask(message, question)
        client.session.ask = ask
        client.leaves()
    client.session.ask = leave_after_the_first
    asks(world["a"], world["a"].take()["id"], "s", q=ROOTS, r=ROOTS)
    nothing_is_left(world, client)


def test_a_request_of_a_modern_server_is_refused():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    call(client)
    world["a"].takes()
    world["a"].says(id=1, method="roots/list")
    assert world["a"].take()["error"]["code"] == -32601 and client.gets() == []


# -- what is heard

LISTENS = {"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}}


def listening_world(**more):
    return world_of(a=modern(capabilities=LISTENS, **more))


def listens(server):
    """The one subscriptions/listen that the server was sent: (its id, what it asks for)."""
    (message,) = [message for message in server.takes()
                  if message["method"] == "subscriptions/listen"]
    return message["id"], message["params"]["notifications"]


def acknowledges(server, id, **agreed):
    server.says(method="notifications/subscriptions/acknowledged", params={
        "_meta": {META + "subscriptionId": id}, "notifications": agreed})


def tells(server, id, method, **params):
    server.says(method=method, params={"_meta": {META + "subscriptionId": id}, **params})


def test_one_subscription_asks_for_the_lists_of_which_the_server_tells_changes():
    world = listening_world()
    id, asked = listens(world["a"])
    assert asked == {"toolsListChanged": True}
    client = world.new_client("a")
    client.asks("initialize")
    assert client.gets() == []  # what changes from now on would be lost
    acknowledges(world["a"], id, toolsListChanged=True)
    assert client.get()["result"]["capabilities"] == LISTENS


def test_nothing_is_asked_of_a_server_that_tells_of_no_changes():
    world = world_of()
    assert world["a"].takes() == [] and state(world) == "running"


def test_a_change_is_told_once_to_every_session_without_the_mark_of_our_subscription():
    world = listening_world()
    id, _ = listens(world["a"])
    acknowledges(world["a"], id)
    clients = [world.client(), world.client(capabilities=ASKABLE)]
    for client in clients:
        client.asks("tools/list")
        client.gets()
    tells(world["a"], id, CHANGED)
    tells(world["a"], id + 1, CHANGED)
    world["a"].says(method=CHANGED)
    assert [client.gets() for client in clients] == [[{"method": CHANGED}]] * 2


def test_the_number_of_our_subscription_may_come_back_as_text():
    """As that of any other request."""
    world = listening_world()
    id, _ = listens(world["a"])
    acknowledges(world["a"], str(id), toolsListChanged=True)
    client = world.client("a")
    client.asks("tools/list")
    client.gets()
    tells(world["a"], str(id), CHANGED)
    assert client.get() == {"method": CHANGED}
    world["a"].says(method="notifications/cancelled", params={"requestId": str(id)})
    tells(world["a"], str(id), CHANGED)
    assert client.gets() == []


def test_an_acknowledgement_that_comes_too_late_is_followed_by_a_list_change():
    world = listening_world()
    id, _ = listens(world["a"])
    world.clock.advance(LIST_SECONDS)
    client = world.client()
    client.asks("tools/list")
    client.gets()
    acknowledges(world["a"], id)
    assert CHANGED in [message["method"] for message in client.gets()]


def test_a_server_that_refuses_to_tell_is_used_all_the_same():
    world = listening_world()
    id, _ = listens(world["a"])
    world["a"].says(id=id, error={"code": -32601, "message": "no"})
    client = world.client()
    call(client)
    assert world["a"].take()["method"] == "tools/call"
    assert "subscriptions/listen answered with an error" in status.table(
        world.pool.upstreams()["a"])


def test_a_subscription_is_answered_when_the_server_has_acknowledged_the_new_set():
    world = listening_world(listens=True)
    old, _ = listens(world["a"])
    one, two = world.client("a"), world.client("a")
    world.offers["a"]["listens"] = False
    one.asks("resources/subscribe", id=1, uri="a:/1")
    two.asks("resources/subscribe", id=1, uri="a:/2")   # waits for the next set
    assert one.gets() == two.gets() == []
    new, asked = listens(world["a"])
    assert asked == {"toolsListChanged": True, "resourceSubscriptions": ["a:/1"]}
    acknowledges(world["a"], new, resourceSubscriptions=["a:/1"])
    assert one.get() == {"id": 1, "result": {}} and two.gets() == []
    cancelled, listen = world["a"].takes()
    assert cancelled["params"]["requestId"] == old
    assert listen["params"]["notifications"]["resourceSubscriptions"] == ["a:/1", "a:/2"]
    acknowledges(world["a"], listen["id"], resourceSubscriptions=["a:/1", "a:/2"])
    assert two.get() == {"id": 1, "result": {}}
    tells(world["a"], new, "notifications/resources/updated", uri="a:/2")  # of the one before
    tells(world["a"], listen["id"], "notifications/resources/updated", uri="a:/2")
    assert two.get() == {"method": "notifications/resources/updated", "params": {"uri": "a:/2"}}
    assert one.gets() == []


def test_until_the_new_subscription_is_acknowledged_the_one_before_counts():
    world = listening_world(listens=True)
    old, _ = listens(world["a"])
    client = world.client("a")
    client.asks("tools/list")
    client.gets()
    world.offers["a"]["listens"] = False
    client.asks("resources/subscribe", uri="a:/1")
    new, _ = listens(world["a"])
    tells(world["a"], old, CHANGED)
    tells(world["a"], new, CHANGED)     # the server must not: it has not acknowledged that one
    assert client.get() == {"method": CHANGED}


def test_a_resource_of_which_the_server_will_not_tell_is_refused():
    world = listening_world(listens=True)
    client = world.client("a")
    world.offers["a"]["listens"] = False
    world["a"].takes()
    client.asks("resources/subscribe", id=1, uri="a:/1")
    acknowledges(world["a"], listens(world["a"])[0], toolsListChanged=True)
    assert "does not tell of changes of a:/1" in client.get()["error"]["message"]
    assert world["a"].takes()[0]["method"] == "notifications/cancelled"
    client.asks("resources/subscribe", id=2, uri="a:/2")
    id, asked = listens(world["a"])
    assert asked["resourceSubscriptions"] == ["a:/2"]
    world["a"].says(id=id, error={"code": -5, "message": "no"})
    assert client.get() == {"id": 2, "error": {"code": -5, "message": "no"}}


def test_the_last_subscriber_that_leaves_takes_its_resource_out():
    world = listening_world(listens=True)
    one, two = world.client("a"), world.client("a")
    for client in (one, two):
        client.asks("resources/subscribe", uri="a:/1")
        assert client.get()["result"] == {}
    world["a"].takes()
    one.asks("resources/unsubscribe", uri="a:/1")
    assert one.get()["result"] == {} and world["a"].takes() == []
    two.leaves()
    assert listens(world["a"])[1] == {"toolsListChanged": True}


def test_the_next_life_is_told_of_all_subscriptions_in_one():
    world = listening_world(listens=True)
    client = world.client("a")
    for uri in ("a:/1", "a:/2"):
        client.asks("resources/subscribe", uri=uri)
    client.asks("tools/list")
    client.gets()
    world["a"].dies()
    world.clock.advance(1)
    id, asked = listens(world["a"])
    assert asked == {"toolsListChanged": True, "resourceSubscriptions": ["a:/1", "a:/2"]}
    assert [message["method"] for message in client.gets()].count(CHANGED) == 1
    tells(world["a"], id, "notifications/resources/updated", uri="a:/2")
    assert client.gets()[-1]["params"] == {"uri": "a:/2"}


def test_a_remote_server_that_cannot_be_reached_for_a_moment_is_asked_again():
    world = World(entries={"a": Entry("a", "-", url="http://a.example", prefix="a__")},
                  a=modern(capabilities=LISTENS))
    id, _ = listens(world["a"])
    client = world.client("a")
    client.asks("tools/list")
    client.gets()
    for pause in (1, 2, 4):
        world["a"].says(id=id, error={"code": -32000, "message": "503"})
        world.clock.advance(pause - 0.1)
        assert world["a"].received == []
        world.clock.advance(0.1)
        id, _ = listens(world["a"])
    client.gets()
    acknowledges(world["a"], id)
    assert {"method": CHANGED} in client.gets()     # it may have changed meanwhile
    world["a"].says(id=id, result={})               # and its stream may break
    world.clock.advance(1)
    acknowledges(world["a"], listens(world["a"])[0])
    assert {"method": CHANGED} in client.gets()


@pytest.mark.parametrize("by", ["result", "cancelled"])
def test_a_subscription_that_the_server_ends_is_opened_when_somebody_wants_something_else(by):
    world = listening_world(listens=True)
    client = world.client("a")
    id, _ = listens(world["a"])
    if by == "result":
        world["a"].says(id=id, result={"resultType": "complete"})
    else:
        world["a"].says(method="notifications/cancelled", params={"requestId": id})
    assert world["a"].takes() == client.gets() == []
    client.asks("resources/subscribe", uri="a:/1")
    assert client.get()["result"] == {}
    assert listens(world["a"])[1]["resourceSubscriptions"] == ["a:/1"]


def test_a_subscription_that_waits_when_the_server_ends_is_answered():
    world = listening_world(listens=True)
    client = world.client("a")
    world.offers["a"]["listens"] = False
    client.asks("resources/subscribe", id=1, uri="a:/1")
    world["a"].dies()
    assert "out of luck" in client.get()["error"]["message"]


# -- two answers at the same moment


def test_a_no_that_comes_as_initialize_is_sent_does_not_count_for_both():
    world = world_of(a=offers(tools=["t"], discovers="silence"))
    server = world["a"]
    send = server.send

    def after_the_no(message):  # the reader has it just before the clock asks
        if message["method"] == "initialize":
            server.says(id=server.handshake[0]["id"], error={"code": -32601, "message": "no"})
        send(message)
    server.send = after_the_no
    world.clock.advance(PATIENCE)
    assert (state(world), began(server)) == ("running", ["server/discover", "initialize"])


def test_a_server_that_has_said_yes_to_discover_never_gets_initialize():
    world = world_of(a=modern(slow=True, initializes="silence"))
    server = world["a"]
    (patience,) = [event for event in world.clock.events if event[0] == PATIENCE]
    server.answer_discover()
    patience[2](*patience[3])   # the clock had begun this before it could be told to forget it
    assert (state(world), began(server)) == ("running", ["server/discover"])


@pytest.mark.parametrize("how", ["is silent", "dies"])
def test_a_slow_server_that_says_yes_and_cannot_bear_initialize_begins_again_as_modern(how):
    world = world_of(a=modern(slow=True, initializes="silence"))
    world.clock.advance(PATIENCE)
    first = world["a"]
    first.answer_discover()
    if how == "dies":
        first.dies()
    world.clock.advance(1 if how == "dies" else 60)
    assert world["a"] is not first and began(world["a"]) == ["server/discover"]
    world["a"].answer_discover()
    assert state(world) == "running"


def test_a_subscription_that_is_ended_before_it_has_begun_is_answered():
    world = world_of(a=modern(capabilities={"resources": {"subscribe": True}}, resources=["x"]))
    client, server = world.client("a"), world["a"]
    server.takes()
    client.asks("resources/subscribe", id=1, uri="x")
    client.asks("resources/subscribe", id=2, uri="y")
    client.asks("resources/unsubscribe", id=3, uri="y")
    server.acknowledges(server.takes()[0])
    world.clock.advance(1)
    assert sorted(message["id"] for message in client.gets()) == [1, 2, 3]


def test_a_subscription_that_is_never_acknowledged_fails_after_the_timeout_of_its_server():
    world = World(a=modern(capabilities=LISTENS, config={"timeout": 3}, listens=True))
    client = world.client("a")
    world.offers["a"]["listens"] = False
    client.asks("resources/subscribe", id=1, uri="a:/1")
    world.clock.advance(2)
    assert client.gets() == []
    world.clock.advance(2)
    (answer,) = client.gets()
    assert answer["id"] == 1
    assert answer["error"]["message"] == 'server "a" did not answer within 3 seconds'


def test_a_subscription_that_was_acknowledged_leaves_no_deadline_behind():
    world = World(a=modern(capabilities=LISTENS, config={"timeout": 3000}, listens=True))
    client = world.client("a")
    before = len(world.clock.events)
    client.asks("resources/subscribe", id=1, uri="a:/1")
    assert [answer["result"] for answer in client.gets()] == [{}]
    assert len(world.clock.events) == before
