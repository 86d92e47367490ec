"""From one config to the next while sessions are open: upstreams/reload/reload.py."""

import dataclasses
import typing

import pytest

from transports.fabric.outbox import CLOSE
from upstreams.config.entries import Config, Entry
from upstreams.config.reading import ConfigError
from upstreams.eras import open_life
from upstreams.reload.reload import reload as reload_router
from upstreams.reload.reload import reload_servers
from upstreams.server.life import FAILED
from upstreams.sharing.waiting import CALL_PATIENCE, IDLE_SECONDS

from world import World, offers

ASKABLE = {"roots": {"listChanged": True}, "elicitation": {}}
TOOLS_CHANGED = {"method": "notifications/tools/list_changed"}


def entry(name, **more):
    return Entry(name, "-", prefix=f"{name}__", **more)


def world_of(*names, **more):
    return World(entries={name: entry(name, **more) for name in names}, **{
        name: offers(tools=["t"]) for name in ("a", "b", "c")})


def reload(world, *entries, groups=None):
    """The config has these entries from now on; a name stands for an entry of nothing else."""
    entries = [entry(each) if isinstance(each, str) else each for each in entries]
    reload_router(world.router, Config({each.name: each for each in entries}, groups or {}))


def listed(client):
    """A client that listens: one that has asked for its tools."""
    client.asks("tools/list")
    client.gets()
    return client


def tools(client):
    client.asks("tools/list")
    return [tool["name"] for tool in client.gets()[-1]["result"]["tools"]]


def call(client, name, id="c"):
    client.sends(id=id, method="tools/call", params={"name": name})


def labels(world):
    return [server.label for server in world.made if server.started and not server.closed]


# -- what is new


def test_every_session_gets_a_new_server_and_is_told_when_it_is_up():
    world = world_of("a")
    world.offers["b"]["slow"] = True
    together, alone = listed(world.client()), listed(world.client("a"))
    reload(world, "a", "b")
    assert together.gets() == [] and tools(together) == ["a__t"]
    world["b"].answer_initialize()
    assert together.get() == TOOLS_CHANGED
    assert tools(together) == ["a__t", "b__t"]
    assert alone.gets() == [] and tools(alone) == ["t"]


def test_a_new_server_has_a_process_before_there_is_any_client():
    world = world_of("a")
    reload(world, "a", "b")
    assert labels(world) == ["a", "b"]
    assert world.client("b").session.upstreams["b"].label == "b"


def test_a_client_that_can_be_asked_owns_a_new_server_from_its_first_call_on():
    world = world_of("a")
    client = listed(world.client(capabilities=ASKABLE))
    reload(world, "a", "b")
    call(client, "b__t")
    assert world.own("b", client).initialize["params"]["capabilities"] == ASKABLE
    assert [upstream.name for upstream in world.pool.owned(client.session)] == ["b"]
    assert len([label for label in labels(world) if label.startswith("b")]) == 1


def test_the_only_client_over_stdio_owns_a_new_server_at_once():
    world = World(share=False, entries={"a": entry("a")}, a=offers(), b=offers())
    client = world.client()
    reload(world, "a", "b")
    assert {upstream.name for upstream in world.pool.owned(client.session)} == {"a", "b"}


def test_a_client_is_told_at_its_beginning_that_its_lists_may_change():
    answer = World(a=offers()).new_client().initialize()
    assert answer["capabilities"]["tools"] == {"listChanged": True}


def test_a_client_that_waits_for_its_answer_to_initialize_gets_the_new_server_in_it():
    world = world_of("a")
    world.offers["b"].update(slow=True, instructions="Be b.")
    world["a"].dies()
    world.offers["a"]["slow"] = True
    client = world.new_client()
    client.initialize()
    reload(world, "a", "b")
    for server in world.made[-2:]:
        server.answer_initialize()
    assert client.get()["result"]["instructions"] == "[b]\nBe b."


# -- what is gone


def test_a_server_that_is_gone_ends_and_the_sessions_that_saw_it_are_told():
    world = world_of("a", "b")
    client, other = listed(world.client()), listed(world.client("b"))
    reload(world, "b")
    assert labels(world) == ["b"] and client.get() == TOOLS_CHANGED and other.gets() == []
    assert tools(client) == ["b__t"]
    call(client, "a__t")
    assert client.get()["error"]["message"] == "Unknown tool: a__t"


@pytest.mark.parametrize("capabilities", [{}, ASKABLE])
def test_calls_in_flight_at_a_server_that_is_gone_fail_at_once_with_the_reason(capabilities):
    world = world_of("a", "b")
    client = world.client(capabilities=capabilities)
    call(client, "a__t")
    world.own("a", client).offers["stubborn"] = True
    reload(world, "b")
    assert client.get()["error"]["message"] == (
        'server "a" is not running: it was taken out of the config')


def test_a_question_of_a_server_that_is_gone_is_taken_back():
    world = world_of("a", "b")
    client = world.client(capabilities=ASKABLE)
    call(client, "a__t")
    world.own("a", client).says(id="q", method="roots/list")
    asked = client.get()["id"]
    reload(world, "b")
    assert [message.get("params", {}).get("requestId") for message in client.gets()
            if message.get("method") == "notifications/cancelled"] == [asked]


def test_a_session_of_a_single_server_that_is_gone_ends():
    world = world_of("a", "b")
    client, waiting = world.client("a"), world.new_client("a")
    call(client, "t")
    reload(world, "b")
    failed, end = client.gets()
    assert "taken out of the config" in failed["error"]["message"] and end is CLOSE
    assert waiting.gets() == [CLOSE] and world.router.sessions.all() == []
    with pytest.raises(LookupError, match="There are: b"):
        world.client("a")


def test_a_session_that_was_opened_just_before_its_server_was_gone_cannot_be_initialized():
    world = world_of("a", "b")
    client = world.new_client("a")
    reload_servers(world.pool, {"b": entry("b")})  # the router has not ended it yet
    client.sends(id=1, method="initialize", params={})
    assert client.get()["error"]["message"] == 'there is no server "a" any more'


def test_a_server_that_is_gone_does_not_come_back_by_its_restart():
    world = world_of("a", "b")
    world.client()
    world["a"].dies()
    reload(world, "b")
    world.clock.advance(100)
    assert labels(world) == ["b"]


def test_a_server_that_was_gone_comes_back_with_the_config():
    world = world_of("a", "b")
    client = listed(world.client())
    reload(world, "b")
    reload(world, "a", "b")
    assert tools(client) == ["a__t", "b__t"]


# -- what has changed


def test_a_server_that_has_changed_has_ended_before_it_starts_again():
    world = world_of("a", "b")
    world.offers["a"]["stubborn"] = True
    client = listed(world.client())
    call(client, "a__t")
    first = world["a"]
    reload(world, entry("a", healthy=5), "b")
    assert client.get()["error"]["message"] == (
        'server "a" is not running: its entry in the config has changed, and it is started again')
    assert first.closing and labels(world) == ["a", "b"] and tools(client) == ["b__t"]
    first.dies()
    world.clock.advance(1)
    assert labels(world) == ["b", "a"] and client.get() == TOOLS_CHANGED
    call(client, "a__t")
    assert world["a"].take()["params"]["name"] == "t"


def test_a_client_hears_what_a_server_that_has_changed_does_not_have_any_more():
    world = world_of("a", "b")
    client = listed(world.client())
    world.offers["a"] = offers(prompts=["p"])
    reload(world, entry("a", healthy=5), "b")
    assert [message["method"].split("/")[1] for message in client.gets()] == ["prompts", "tools"]
    world.offers["a"] = offers(missing=True)
    reload(world, "a", "b")
    assert client.get()["method"] == "notifications/prompts/list_changed"
    assert tools(client) == ["b__t"]


def test_a_session_of_a_single_server_that_has_changed_stays_with_what_it_wants_to_hear():
    world = World(entries={"a": entry("a")}, a=offers(resources=["a:/"],
                                                      capabilities={"logging": {}}))
    client = world.client("a")
    client.asks("resources/subscribe", uri="a:/")
    world["a"].says(id=world["a"].take()["id"], result={})
    client.asks("logging/setLevel", level="error")
    reload(world, entry("a", healthy=5))
    assert [message["method"] for message in world["a"].takes()] == [
        "logging/setLevel", "resources/subscribe"]
    client.gets()
    world["a"].says(method="notifications/resources/updated", params={"uri": "a:/"})
    assert client.get()["params"] == {"uri": "a:/"}


def test_a_session_that_owned_a_process_there_gets_a_new_one_at_its_next_call():
    world = world_of("a")
    clients = [world.client(capabilities=ASKABLE) for _ in range(2)]
    for client in clients:
        call(client, "a__t")
    assert len(labels(world)) == 2
    reload(world, entry("a", healthy=5))
    assert len(labels(world)) == 1 and all(
        world.pool.owned(client.session) == [] for client in clients)
    for client in clients:
        call(client, "a__t", id="again")
    assert len(labels(world)) == 2 and len({world.own("a", each).label for each in clients}) == 2


def test_a_call_that_waits_for_its_turn_at_a_server_that_has_changed_fails_with_the_reason():
    world = World(limit=1, entries={"a": entry("a", shared=True)}, a=offers(tools=["t"]))
    clients = [world.client(capabilities=ASKABLE) for _ in range(3)]
    for client in clients:
        call(client, "a__t")
    assert [client.gets() for client in clients] == [[], [], []]
    reload(world, entry("a", shared=True, healthy=5))
    for client in clients:
        assert "has changed" in client.get()["error"]["message"]
    world.clock.advance(CALL_PATIENCE)
    assert [client.gets() for client in clients] == [[], [], []]


@pytest.mark.parametrize("after", [[], [entry("a", healthy=5)]])
def test_a_call_that_waits_until_the_era_of_a_slow_server_is_known_fails_with_the_reason(after):
    world = World(entries={name: entry(name) for name in "ab"}, b=offers(tools=["t"]),
                  a=offers(tools=["t"], slow=True, discovers="silence"))
    client = world.client(capabilities=ASKABLE)
    world.clock.advance(6)  # its initialize does not wait any longer
    client.gets()
    call(client, "a__t")
    assert client.gets() == []
    reload(world, "b", *after)
    assert "not running: it" in client.get()["error"]["message"]


def test_a_list_that_is_under_way_there_is_asked_of_the_new_process():
    world = world_of("a", "b")
    client = listed(world.client())
    del world["a"].offers["lists"]["tools/list"]
    client.asks("tools/list")
    world.offers["a"] = offers(tools=["new"])
    reload(world, entry("a", healthy=5), "b")
    names = [[tool["name"] for tool in message["result"]["tools"]]
             for message in client.gets() if "result" in message]
    assert names == [["a__new", "b__t"]]


def test_what_was_found_out_of_the_server_before_does_not_count_for_the_one_after():
    world = World(entries={"a": entry("a")}, a=offers(tools=["t"], era="modern"),
                  open_life=open_life)
    clients = [world.client(capabilities=ASKABLE) for _ in range(2)]
    world.offers["a"] = offers(tools=["t"])
    (before,) = world.made
    reload(world, entry("a", healthy=5))
    assert before.closed and world.made[1].handshake[0]["method"] == "server/discover"
    for client in clients:
        call(client, "a__t")
    assert len(labels(world)) == 2
    world.offers["a"] = offers(missing=True)
    reload(world, entry("a"))
    (upstream,) = world.pool.upstreams()["a"]
    assert upstream.state == FAILED and upstream.restarts.given_up


def test_a_server_that_changes_while_it_starts_is_not_taken_for_what_it_was_to_be():
    world = world_of("a")
    world.offers["a"].update(slow=True, stubborn=True)
    client = world.client(capabilities=ASKABLE)
    reload(world, "b")
    world.offers["a"] = offers(tools=["t"])
    reload(world, entry("a", healthy=5), "b")
    late = world.made[0]
    late.says(id=late.handshake[0]["id"], error={"code": -32601, "message": "not here"})
    assert not world.pool.tables.servers["a"].has_run
    late.dies()
    world.clock.advance(1)
    assert client.session.upstreams["a"].state == "running"


@pytest.mark.parametrize("shared", [None, True, False])
def test_a_call_of_a_changed_server_fails_if_the_one_before_does_not_end(shared):
    world = world_of("a", shared=shared)
    client = world.client(capabilities=ASKABLE)
    world.offers["a"]["stubborn"] = True
    world.offers["a"] = offers(tools=["t"])
    before = labels(world)
    reload(world, entry("a", shared=shared, healthy=5))
    call(client, "a__t")
    world.clock.advance(CALL_PATIENCE)
    assert "no process was free" in client.gets()[-1]["error"]["message"]
    world[before[-1]].dies()
    world.clock.advance(1)
    assert client.gets() == [] and world.own("a", client).started
    assert not any(server.takes() for server in world.made)


# -- what only clients see


def described(client):
    client.asks("tools/list")
    return [tool.get("description") for tool in client.gets()[-1]["result"]["tools"]]


class Off(typing.NamedTuple):
    """As a room may give them to an Entry."""

    tools: tuple

    def hide(self, tool):
        return tool in self.tools

    def useless(self, tools):
        return []


@pytest.mark.parametrize("change, names", [
    (dict(prefix="p__"), ["p__t", "p__u"]), (dict(deny=("u",)), ["a__t"]),
    (dict(allow=("u",)), ["a__u"]), (dict(rename=(("t", "z"),)), ["a__z", "a__u"]),
    (dict(rules=Off(("t",))), ["a__u"]),
    (dict(describe=(("t", "It."),)), ["a__t", "a__u"])])
@pytest.mark.parametrize("capabilities", [{}, ASKABLE])
def test_other_names_and_descriptions_come_to_clients_and_the_server_notices_nothing(
        change, names, capabilities):
    world = World(entries={"a": entry("a")}, a=offers(tools=["t", "u"], prompts=["p"]))
    client = listed(world.client(capabilities=capabilities))
    call(client, "a__u")
    server = world.own("a", client)
    asked = server.take()
    reload(world, dataclasses.replace(entry("a"), **change))
    assert TOOLS_CHANGED in client.gets() and tools(client) == names
    assert ("It." in described(client)) is ("describe" in change)
    server.says(id=asked["id"], result={"of": "u"})
    assert client.get() == {"id": "c", "result": {"of": "u"}}
    call(client, names[0], id="again")
    assert world.own("a", client) is server
    assert server.take()["params"]["name"] == ("u" if "allow" in change or "rules" in change
                                               else "t")


def test_a_session_of_a_single_server_hears_of_other_names_too():
    world = world_of("a")
    client = listed(world.client("a"))
    reload(world, entry("a", rename=(("t", "z"),)))
    assert client.gets() == [TOOLS_CHANGED] and tools(client) == ["z"]


def test_a_pattern_that_changes_nothing_is_not_told_to_clients():
    world = world_of("a")
    client = listed(world.client())
    reload(world, entry("a", deny=("nothing_*",)))
    assert client.gets() == [] and tools(client) == ["a__t"] and len(world.made) == 1


def test_calls_under_way_have_the_new_time_for_an_answer(monkeypatch):
    world = world_of("a")
    monkeypatch.setattr("time.monotonic", lambda: world.clock.now)
    client = world.client()
    call(client, "a__t", id="one")
    for seconds in (0, 50, 0, 500, 400):    # of several watches the last one counts
        reload(world, dataclasses.replace(entry("a"), timeout=seconds))
    world.clock.advance(300)
    call(client, "a__t", id="two")
    assert client.gets() == []
    world.clock.advance(101)
    (answer,) = client.gets()
    assert answer["id"] == "one" and "within 400 seconds" in answer["error"]["message"]
    reload(world, "a")
    world.clock.advance(10_000)
    assert client.gets() == [] and world.clock.events == [] and len(world.made) == 1


def test_a_server_that_rests_is_known_by_its_new_names():
    world = world_of("a")
    client = listed(world.client(capabilities=ASKABLE))
    call(client, "a__t")    # it gets its own, and the one that lists rests
    reload(world, entry("a", rename=(("t", "z"),)))
    assert tools(client) == ["a__z"] and tools(listed(world.client())) == ["a__z"]


def test_a_server_with_other_names_does_not_seem_to_list_by_capabilities():
    world = world_of("a")
    world.client()
    reload(world, entry("a", rename=(("t", "z"),)))
    client = world.client(capabilities=ASKABLE)
    call(client, "a__z")
    assert not world.pool.tables.servers["a"].lists_by_capabilities


# -- what is wrong

WRONG = Entry("a", prefix="a__", problem="x.json: mcpServers.a.url: must not be empty")


def test_a_wrong_entry_keeps_what_it_was_before_and_says_so(caplog):
    world = world_of("a", "b")
    client = listed(world.client())
    call(client, "a__t")
    reload(world, WRONG, "b", "c")
    assert 'server "a" stays as it was, since its new entry is wrong: x.json: ' in caplog.text
    assert tools(client) == ["a__t", "b__t", "c__t"] and labels(world) == ["a", "b", "c"]
    world["a"].says(id=world["a"].take()["id"], result={})
    assert client.gets()[-1] == {"id": "c", "result": {}}
    reload(world, "a", "b", "c")
    assert labels(world) == ["a", "b", "c"]


def test_a_new_wrong_entry_has_failed_and_starts_when_it_is_mended():
    world = world_of("b")
    client = listed(world.client())
    reload(world, "b", WRONG)
    (upstream,) = world.pool.upstreams()["a"]
    assert (upstream.state, upstream.problem) == (FAILED, WRONG.problem)
    reload(world, "b", dataclasses.replace(WRONG, problem="x.json: mcpServers.a.url: another"))
    (upstream,) = world.pool.upstreams()["a"]
    assert (upstream.state, upstream.problem) == (FAILED, "x.json: mcpServers.a.url: another")
    reload(world, "b", "a")
    assert client.gets()[-1] == TOOLS_CHANGED and tools(client) == ["b__t", "a__t"]


def test_what_stays_as_it_was_must_not_clash_with_what_is_new():
    world = world_of("a", "b")
    before = world.pool.entries
    with pytest.raises(ConfigError, match='"a" and "c" could produce the same tool name'):
        reload(world, WRONG, "b", dataclasses.replace(entry("c"), prefix="a__"))
    assert world.pool.entries == before and labels(world) == ["a", "b"]


# -- groups


def test_a_session_of_a_group_sees_what_is_in_it_now():
    world = World(entries={name: entry(name) for name in "ab"}, groups={"g": ["a"]},
                  **{name: offers(tools=["t"]) for name in "abc"})
    client, together = listed(world.client("g")), listed(world.client())
    reload(world, "a", "b", groups={"g": ["b", "a"]})
    assert client.get() == TOOLS_CHANGED and tools(client) == ["b__t", "a__t"]
    assert together.gets() == [] and len(world.made) == 2
    reload(world, "b", "c", groups={"g": ["c"]})
    assert client.gets() == [TOOLS_CHANGED] * 2 and tools(client) == ["c__t"]
    call(client, "b__t")
    assert client.get()["error"]["message"] == "Unknown tool: b__t"


def test_a_process_that_a_session_owned_ends_when_its_group_has_lost_that_server():
    world = World(entries={name: entry(name) for name in "ab"}, groups={"g": ["a", "b"]},
                  **{name: offers(tools=["t"]) for name in "ab"})
    client, other = (world.client("g", capabilities=ASKABLE) for _ in range(2))
    call(client, "a__t")
    own = world.own("a", client)
    reload(world, "a", "b", groups={"g": ["b"]})
    assert own.closing and world.pool.owned(client.session) == []
    assert list(other.session.upstreams) == ["b"]


def test_a_session_of_a_group_that_is_gone_ends_and_a_new_group_is_there_at_once():
    world = World(entries={"a": entry("a")}, groups={"g": ["a"]}, a=offers(tools=["t"]))
    client = world.client("g")
    reload(world, "a", groups={"h": ["a"]})
    assert client.gets()[-1] is CLOSE and tools(world.client("h")) == ["a__t"]
    assert world.router.health()["groups"] == {"h": ["a"]}


# -- what is the same


def test_a_server_that_is_the_same_does_not_notice():
    world = world_of("a", "b")
    clients = [listed(world.client(capabilities=capabilities)) for capabilities in ({}, ASKABLE)]
    for client in clients:
        call(client, "b__t")
    before = [(world.own("b", client), client.session.upstreams["b"]) for client in clients]
    for n in range(1, 20):
        reload(world, *[["c", "b"], ["b", "a"], ["b"], ["b", entry("a", healthy=n)]][n % 4])
    reload(world, "b")
    assert before == [(world.own("b", client), client.session.upstreams["b"])
                      for client in clients]
    for client, (server, _) in zip(clients, before):
        client.gets()
        (asked,) = server.takes()
        server.says(id=asked["id"], result={"for": client.session.name})
        assert client.get() == {"id": "c", "result": {"for": client.session.name}}


def test_the_order_of_the_servers_is_that_of_the_file():
    world = world_of("a", "b")
    client = world.client()
    reload(world, "b", "a")
    assert tools(client) == ["b__t", "a__t"] and list(world.router.health()["servers"]) == [
        "b", "a"]
    assert len(world.made) == 2


def test_nothing_is_left_of_what_was_there_before():
    world = world_of("a", "b")
    clients = [world.client(capabilities=capabilities) for capabilities in ({}, ASKABLE, ASKABLE)]
    for n in range(100):
        for client in clients:
            call(client, "a__t", id=n)
        reload(world, entry("a", healthy=n % 7), *["b", "c"][:n % 3])
        if n % 10 == 0:
            world.clock.advance(1)
    for client in clients:
        client.leaves()
    reload(world, "a")
    world.clock.advance(IDLE_SECONDS + 1)
    tables = world.pool.tables
    assert labels(world) == ["a"] and not world.pool.sessions and world.clock.events == []
    (use,) = tables.uses()
    assert use.server.entry == entry("a") and not (
        tables.gone or use.server.ending or use.wanted or use.counts or use.listeners)


def test_every_field_of_an_entry_is_compared_that_makes_a_difference_to_its_server():
    assert [field.name for field in dataclasses.fields(Entry) if not field.compare] == [
        "clear", "secrets"]


def test_a_call_that_waits_for_a_server_that_leaves_its_group_ends():
    world = World(a=offers(tools=["t"]), b=offers(tools=["t"]), groups={"g": ["a", "b"]})
    client = world.client("g", capabilities=ASKABLE)
    world.offers["b"]["slow"] = True
    client.sends(id="c", method="tools/call", params={"name": "b__t"})
    assert client.gets() == []
    reload(world, *world.pool.entries.values(), groups={"g": ["a"]})
    assert "not here any more" in client.gets()[-1]["error"]["message"]
