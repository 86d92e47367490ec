"""Which process serves a modern client: those that can be asked take turns before a legacy server.
In one thread, with played servers."""

import functools

import pytest
from modern_client import FORM, ROOTS, ModernClient, stateless_of

from transports.fabric.messages import Refused
from transports.stateless.asked_session import TOGETHER_SECONDS
from upstreams.eras import open_life
from upstreams.sharing.waiting import IDLE_SECONDS, LAST_SECONDS

import world as worlds
from world import entry, offers

World = functools.partial(worlds.World, open_life=open_life)

SOON = TOGETHER_SECONDS + 0.01
OK = {"content": []}
SAMPLING = {"sampling": {}}


def world_of(limit=100, offer=None, **config):
    return World(limit=limit, entries={"a": entry("a", **config)}, a=offer or offers(tools=["t"]))


def client_of(world, capabilities=FORM, name="a"):
    return ModernClient(stateless_of(world), name, capabilities)


def alive(world):
    return [server for server in world.made if server.started and not server.closed]


def calls_at(server):
    return [message for message in server.received if message.get("method") == "tools/call"]


def answers(server, result=OK):
    """It answers all calls."""
    for message in calls_at(server):
        server.received.remove(message)
        server.says(id=message["id"], result=result)


def busy(world):
    return [server for server in alive(world) if calls_at(server)]


def one_call(world, client):
    """Returns the process that ran it."""
    exchange = client.calls()
    world.clock.advance(1)
    (server,) = busy(world)
    answers(server)
    assert exchange.answer["content"] == []
    world.clock.advance(1)
    return server


def test_clients_that_can_be_asked_take_turns_on_one_process():
    world = world_of()
    first, second = client_of(world), client_of(world)
    server = one_call(world, first)
    assert server.initialize["params"]["capabilities"] == FORM
    assert one_call(world, second) is server and one_call(world, first) is server
    assert alive(world) == [server] and not world.pool.sessions


def test_calls_that_overlap_have_a_process_each_and_the_one_used_last_is_next():
    world = world_of()
    first, second = client_of(world), client_of(world)
    one, other = first.calls(), second.calls()
    world.clock.advance(1)
    servers = busy(world)
    assert [len(calls_at(server)) for server in servers] == [1, 1]
    for server in servers:      # each asks its own
        server.says(id=1, method="elicitation/create", params={"message": server.label})
    world.clock.advance(SOON)
    (question,), state = one.is_asked()
    (question2,), state2 = other.is_asked()
    first.calls(state=state, answers={question: {"action": "accept", "content": {"me": 1}}})
    second.calls(state=state2, answers={question2: {"action": "accept", "content": {"me": 2}}})
    told = [message["result"]["content"]["me"] for server in servers
            for message in server.received if "result" in message]
    assert sorted(told) == [1, 2]
    answers(servers[1])
    answers(servers[0])
    assert one_call(world, second) is servers[0]


def test_a_client_that_is_asked_first_and_never_comes_back_holds_nobody_up():
    world = world_of()
    warm = one_call(world, client_of(world, ROOTS))
    running = client_of(world, ROOTS).calls()
    world.clock.advance(0.1)
    world.offers["a"]["slow"] = True
    away = client_of(world, ROOTS).calls()
    world.clock.advance(1)
    other = world.made[-1]      # which started for it, and asks before it has had a call
    other.says(id="roots", method="roots/list")
    other.answer_initialize()
    world.clock.advance(1)
    away.is_asked()
    behind = client_of(world, ROOTS).calls()
    answers(warm)
    assert running.is_answered() and calls_at(warm) and not calls_at(other)
    answers(warm)
    assert behind.is_answered()


def test_a_client_that_can_be_asked_less_has_another_process():
    world = world_of()
    servers = [one_call(world, client_of(world, capabilities)) for capabilities in (
        FORM, ROOTS, {}, {"elicitation": {"url": {}}})]
    assert len(set(servers)) == 4
    assert [server.initialize["params"]["capabilities"] for server in servers] == [
        FORM, ROOTS, {}, {"elicitation": {"url": {}}}]


def test_a_process_that_is_not_used_any_more_ends():
    world = world_of()
    server = one_call(world, client_of(world))
    world.clock.advance(IDLE_SECONDS + 1)
    assert alive(world) == [server]
    world.clock.advance(LAST_SECONDS + 1)
    assert server.closed
    assert [use.key for use in world.pool.tables.uses()] == [b""]
    assert not world.clock.events


def test_of_two_processes_that_are_not_used_any_more_one_ends_after_a_minute():
    world = world_of()
    for client in [client_of(world), client_of(world)]:
        client.calls()
    world.clock.advance(1)
    servers = busy(world)
    for server in servers:
        answers(server)
    world.clock.advance(IDLE_SECONDS + 1)
    assert len([server for server in servers if not server.closed]) == 1


def test_a_process_that_serves_whoever_can_be_asked_nothing_stays_beside_one_that_is_idle():
    """Else each of their calls would start it anew."""
    world = world_of()
    world.clock.advance(1)
    one_call(world, client_of(world))
    plain = client_of(world, {})
    server = one_call(world, plain)
    count = len(world.made)
    for _ in range(3):
        assert one_call(world, plain) is server
        one_call(world, client_of(world))
    assert len(world.made) == count


def test_the_same_while_a_legacy_client_has_a_process_of_its_own():
    world = world_of()
    host = world.client("a", FORM)
    host.asks("tools/call", name="t")
    world.clock.advance(1)
    answers(busy(world)[0])
    plain = client_of(world, {})
    server = one_call(world, plain)
    count = len(world.made)
    for _ in range(3):
        assert one_call(world, plain) is server
    assert len(world.made) == count


def test_legacy_and_modern_clients_with_the_same_capabilities_share_no_process():
    world = world_of()
    host = world.client("a", FORM)
    host.asks("tools/call", name="t")
    world.clock.advance(1)
    (own,) = busy(world)
    answers(own)
    assert one_call(world, client_of(world)) is not own
    host.asks("tools/call", name="t")
    assert len(calls_at(own)) == 1


def test_with_shared_false_each_request_has_a_process_that_ends_with_it():
    world = world_of(shared=False)
    for capabilities in (FORM, {}):
        servers = [one_call(world, client_of(world, capabilities)) for _ in range(2)]
        assert servers[0] is not servers[1] and all(server.closed for server in servers)


def test_with_shared_true_they_take_turns_as_others_do():
    world = world_of(shared=True)
    server = one_call(world, client_of(world))
    assert one_call(world, client_of(world)) is server


def test_there_are_no_more_processes_than_allowed_however_many_kinds_of_clients_come():
    world = world_of(limit=2)
    for number in range(12):
        client = client_of(world, {"roots": {"number": number}})
        exchange = client.calls()
        world.clock.advance(3)
        for server in busy(world):
            answers(server)
        assert exchange.answer["content"] == []
        assert len(alive(world)) <= 3
    world.clock.advance(IDLE_SECONDS + LAST_SECONDS + 10)
    assert len(alive(world)) <= 1 and not world.clock.events


def test_a_process_that_cannot_be_started_leaves_nothing_behind():
    world = world_of(restart_attempts=2)
    world.clock.advance(1)
    world.offers["a"] = offers(missing=True)
    exchange = client_of(world).calls()
    world.clock.advance(200)
    assert "no process was free" in exchange.answer["message"]
    uses = world.pool.tables.uses()
    assert len(uses) == 1 and not uses[0].server.ending and not world.pool.sessions


def test_a_process_that_dies_when_nobody_uses_it_is_forgotten():
    world = world_of()
    for _ in range(3):
        one_call(world, client_of(world)).dies()
        world.clock.advance(100)
    assert [use.key for use in world.pool.tables.uses()] == [b""]


def test_a_client_that_hangs_up_while_its_process_starts_leaves_one_that_others_use():
    world = world_of()
    world.clock.advance(1)
    world.offers["a"]["slow"] = True
    client_of(world).calls().hangs_up()
    world.clock.advance(1)
    server = world.made[-1]
    server.answer_initialize()
    world.clock.advance(1)
    assert one_call(world, client_of(world)) is server
    world.clock.advance(IDLE_SECONDS + LAST_SECONDS + 10)
    assert server.closed


# -- what a process asks before anybody has called


def starts_slowly(world, client):
    """(the exchange, the process that asks for roots and then answers initialize)."""
    world.offers["a"]["slow"] = True
    exchange = client.calls()
    world.clock.advance(1)
    server = world.made[-1]
    server.says(id="roots", method="roots/list")
    server.answer_initialize()
    return exchange, server


def test_the_first_call_of_a_process_waits_for_its_questions_however_late_they_are_answered():
    world = world_of()
    world.clock.advance(1)
    client = client_of(world, ROOTS)
    exchange, server = starts_slowly(world, client)
    world.clock.advance(20)
    (key,), state = exchange.is_asked()
    assert calls_at(server) == []
    retry = client.calls(state=state, answers={key: {"roots": [{"uri": "file:///a"}]}})
    world.clock.advance(1)
    assert [message.get("method") or message["result"] for message in server.received] == [
        {"roots": [{"uri": "file:///a"}]}, "tools/call"]
    answers(server)
    assert retry.answer["content"] == []


def test_what_a_process_has_learned_of_one_client_is_not_for_another():
    world = world_of()
    world.clock.advance(1)
    client = client_of(world, ROOTS)
    exchange, server = starts_slowly(world, client)
    other = client_of(world, ROOTS)
    second = other.calls()
    world.clock.advance(1)
    assert second.messages == []        # it waits for a process of its own
    (key,), state = exchange.is_asked()
    retry = client.calls(state=state, answers={key: {"roots": []}})
    world.clock.advance(1)
    assert len(calls_at(server)) == 1
    answers(server)
    assert retry.is_answered() and server.closed
    world.made[-1].answer_initialize()
    world.clock.advance(1)
    assert len(calls_at(world.made[-1])) == 1 and world.made[-1] is not server


def test_a_question_of_a_process_whose_client_has_gone_is_not_for_a_client_of_another_server():
    world = World(a=offers(tools=["t"], slow=True), b=offers(tools=["t"]))
    world.made[0].answer_initialize()
    world.clock.advance(1)
    client = client_of(world, ROOTS, None)
    world.offers["a"]["slow"] = True
    exchange = client_of(world, ROOTS, "a").calls()
    world.clock.advance(1)
    server = world.servers["a#3"]
    exchange.hangs_up()
    there = client.calls("b__t")
    world.clock.advance(1)
    server.answer_initialize()
    server.says(id="roots", method="roots/list")
    world.clock.advance(1)
    assert not there.is_answered()
    assert "error" in server.received[-1]


# -- lists


def test_a_server_that_lists_by_capabilities_is_asked_by_a_process_with_those_and_that_ends():
    world = world_of(lists_by_capabilities=True)
    world.clock.advance(1)
    for number in range(5):
        world.offers["a"] = offers(tools=[f"t{number}"])
        client = client_of(world, {"roots": {"number": number}})
        for _ in range(2):
            exchange = client.asks("tools/list")
            world.clock.advance(1)
            assert [tool["name"] for tool in exchange.answer["tools"]] == [f"t{number}"]
    world.clock.advance(IDLE_SECONDS + LAST_SECONDS + 10)
    assert len(world.pool.tables.uses()) == 1 and len(alive(world)) <= 1


def test_listing_starts_nothing_and_is_no_news_to_the_tables():
    world = world_of()
    world.clock.advance(1)
    client = client_of(world)
    exchange = client.asks("tools/list")
    assert [tool["name"] for tool in exchange.answer["tools"]] == ["t"]
    assert len(world.made) == 1 and not world.pool.sessions


# -- lives of servers


def test_a_server_that_was_given_up_is_tried_again_but_not_for_each_request(monkeypatch):
    world = world_of(restart_attempts=1)
    monkeypatch.setattr("time.monotonic", lambda: world.clock.now)
    world.clock.advance(1)
    client = client_of(world, {})
    one_call(world, client)
    world.offers["a"] = offers(discovers="dies", initializes="dies")
    world.made[-1].dies()
    for _ in range(10):
        client.calls()
        world.clock.advance(5)
    assert world.pool.upstreams()["a"][0].restarts.given_up
    count = len(world.made)
    for _ in range(30):
        exchange = client.calls()
        world.clock.advance(1)
        assert "is not running" in exchange.answer["message"]
    one_try = len(world.made) - count
    assert one_try <= 5
    world.offers["a"] = offers(tools=["t"])
    for _ in range(8):
        client.asks("tools/list")
        world.clock.advance(10)
    one_call(world, client)


def test_a_call_that_has_ended_while_it_was_on_its_way_leaves_no_session_in_the_tables():
    world = world_of()
    client = client_of(world)
    exchange = client.asks("resources/read", uri="a:/")
    session, pool = exchange.session, world.pool
    exchange.hangs_up()
    with pytest.raises(Refused):
        pool.run(session, "a", session.call, lambda upstream: None, exchange)
    assert not pool.sessions and not pool.tables.servers["a"].sessions
