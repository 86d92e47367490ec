"""upstreams/pool.py: which process serves which session, with whole routers in one thread."""

import json

import pytest

from transports.fabric.messages import Refused
from transports.fabric.outbox import CLOSE
from transports.fabric.session import SILENT_SECONDS
from upstreams.config.entries import Entry
from upstreams.server.lists import INITIALIZE_PATIENCE
from upstreams.server.upstream import Upstream
from upstreams.sharing import waiting
from upstreams.sharing.processes import DIGEST_SECONDS, LOOK_AGAIN
from upstreams.sharing.waiting import (CALL_PATIENCE, IDLE_SECONDS, LATE_SECONDS, PRESSES,
                                       ROOM_SECONDS)

from world import Client, World, offers, resting_meanwhile

ASKABLE = {"roots": {"listChanged": True}, "elicitation": {}}


def world_of(shared=None, limit=100, **servers):
    servers = servers or {"a": offers(tools=["t"])}
    return World(limit=limit, entries={
        name: Entry(name, "-", prefix=f"{name}__", shared=shared) for name in servers}, **servers)


def alive(world):
    """The labels of the processes that have started and not ended."""
    return [label for label, server in world.servers.items()
            if server.started and not server.closed]


def call(client, id="c1", name="a__t", reply_to=None):
    client.sends(id=id, method="tools/call", params={"name": name}, reply_to=reply_to)


def take_call(world, label):
    """The call that this process was sent last; whatever else it was sent is passed over."""
    return [message for message in world[label].takes()
            if message.get("method") == "tools/call"][-1]


def answer_call(world, server):
    server.says(id=take_call(world, server.label)["id"], result={})


def error_of(message):
    return message["error"]["code"], message["error"]["message"]


# -- one process where one client is


@pytest.mark.parametrize("capabilities", [{}, ASKABLE, {"sampling": {}}])
@pytest.mark.parametrize("shared", [None, True, False])
def test_one_client_has_one_process_of_each_server_at_any_moment(shared, capabilities):
    world = world_of(shared)
    client = world.client(capabilities=capabilities)
    assert len(alive(world)) == 1
    client.asks("tools/list")
    client.gets()
    call(client)
    assert len(alive(world)) == 1
    (label,) = alive(world)
    assert world[label].initialize["params"]["capabilities"] == capabilities
    assert take_call(world, label)["params"]["name"] == "t"


def test_the_process_that_nobody_uses_has_ended_before_another_of_its_server_starts():
    world = world_of(a=offers(tools=["t"], stubborn=True))
    client = world.client(capabilities=ASKABLE)
    first = world["a"]
    call(client)
    assert first.closing and not first.closed
    assert alive(world) == ["a"]
    client.asks("tools/list", id="l")
    assert client.get()["result"]["tools"] == [{"name": "a__t"}]    # what it has listed stays
    first.dies("exited with status 0")
    world.clock.advance(1)
    assert len(alive(world)) == 1 and alive(world) != ["a"]
    assert take_call(world, world.own("a", client).label)


def test_what_was_too_slow_to_start_has_ended_before_another_of_its_server_starts():
    world = world_of(a=offers(tools=["t"], slow=True, stubborn=True))
    world.clock.advance(60)
    client = world.new_client()
    client.asks("initialize")
    (too_slow,) = world.made
    assert too_slow.closing and not too_slow.closed
    too_slow.dies()
    world.clock.advance(1)
    _, other = world.made
    assert other.started


def test_it_comes_back_when_a_client_needs_more_than_its_lists():
    world = world_of()
    call(world.client(capabilities=ASKABLE))
    (own,) = alive(world)
    for capabilities in ({}, ASKABLE, {"sampling": {}}):
        client = world.client(capabilities=capabilities)
        client.asks("tools/list", id="l")
        assert client.get()["result"]["tools"] == [{"name": "a__t"}]
        assert alive(world) == [own]
    plain = world.client()
    call(plain)
    assert sorted(alive(world)) == ["a", own]
    assert take_call(world, "a")["params"]["name"] == "t"


def test_it_ends_again_when_its_last_client_has_left_and_another_has_a_process_of_its_own():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    plain = world.client()
    call(client)
    assert len(alive(world)) == 2
    plain.leaves()
    (label,) = alive(world)
    assert world.own("a", client).label == label


def test_what_nobody_uses_is_not_started_again():
    world = world_of()
    world["a"].dies()
    world.clock.advance(100)
    assert alive(world) == []
    client = world.client()
    assert alive(world) == ["a"]
    world["a"].dies()
    world.clock.advance(100)
    assert alive(world) == ["a"]  # because there is a client now
    client.leaves()


def test_after_the_last_client_has_left_nothing_is_left_but_the_routers_own():
    world = world_of()
    clients = [world.client(capabilities=ASKABLE) for _ in range(3)] + [world.client()]
    for client in clients:
        call(client)
    for client in clients:
        client.leaves()
    world.clock.advance(LATE_SECONDS)
    assert alive(world) == ["a"]


# -- own processes start at the first call


def test_connecting_and_listing_cost_one_process_for_all_with_equal_capabilities():
    world = world_of(a=offers(tools=["t"], resources=["a:/"], capabilities={"logging": {}}))
    clients = [world.client(capabilities=ASKABLE) for _ in range(20)]
    for client in clients:
        client.asks("tools/list")
        client.asks("resources/subscribe", uri="a:/")
        client.asks("logging/setLevel", level="info")
    assert len(alive(world)) == 1
    for client in clients[:3]:
        call(client)
    assert len(alive(world)) == 4
    assert {world.own("a", client).label for client in clients[:3]} == {*alive(world)} - {"a"}


def test_the_process_that_listed_becomes_that_of_the_first_session_that_calls():
    world = world_of(shared=False)
    first, other = world.client(), world.client()
    lister = world.own("a", first)
    call(other)
    assert world.own("a", other) is lister
    call(first)
    assert world.own("a", first) is not lister
    assert take_call(world, lister.label) and take_call(world, world.own("a", first).label)


def test_other_capabilities_are_another_process_with_exactly_these():
    world = world_of()
    capabilities = {"sampling": {"tools": {}}, "experimental": {"x": 1}, "future": [2]}
    client, other = world.client(capabilities=capabilities), world.client(capabilities=ASKABLE)
    call(client)
    call(other)
    assert world.own("a", client).initialize["params"]["capabilities"] == capabilities
    assert world.own("a", other).initialize["params"]["capabilities"] == ASKABLE


def test_an_own_process_ends_with_its_session_and_the_others_list_from_another():
    world = world_of()
    owner, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(owner)
    own = world.own("a", owner)
    assert world.own("a", other) is world["a"]
    owner.leaves()
    assert own.closed and alive(world) == ["a"]
    other.asks("tools/list", id=7)
    assert [tool["name"] for tool in other.gets()[-1]["result"]["tools"]] == ["a__t"]


def test_subscriptions_and_the_log_level_follow_the_session_to_its_own_process():
    world = world_of(a=offers(tools=["t"], resources=["a:/"], capabilities={"logging": {}}))
    first, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    other.asks("resources/subscribe", uri="a:/")
    world["a"].says(id=world["a"].take()["id"], result={})
    other.asks("logging/setLevel", level="error")
    call(first)
    call(other)
    own = world.own("a", other)
    assert own is not world.own("a", first)
    said = {message["method"]: message["params"] for message in own.takes()}
    assert said["resources/subscribe"] == {"uri": "a:/"}
    assert said["logging/setLevel"] == {"level": "error"}
    other.gets()
    own.says(method="notifications/resources/updated", params={"uri": "a:/"})
    assert other.get()["method"] == "notifications/resources/updated"


def by_capabilities(**more):
    """A World whose server lists by what its client can be asked, as the config says."""
    return World(entries={"a": Entry("a", "-", prefix="a__", lists_by_capabilities=True)},
                 a=offers(tools=["t"], **more))


def test_a_question_before_any_call_belongs_to_the_session_that_the_process_was_started_for():
    world = by_capabilities()
    first, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    asking = world.own("a", first)
    asking.says(id=1, method="roots/list")
    question = first.get()
    assert question["method"] == "roots/list" and other.gets() == []
    first.sends(id=question["id"], result={"roots": ["first's"]})
    assert asking.take()["result"] == {"roots": ["first's"]}
    call(other)
    assert world.own("a", other) is not asking
    assert world.own("a", first) is asking


def test_with_shared_false_every_client_has_its_own_from_its_first_call_on():
    world = world_of(shared=False)
    one, two = world.client(), world.client()
    assert len(alive(world)) == 1
    call(one)
    call(two)
    assert len(alive(world)) == 2
    assert world.own("a", one) is not world.own("a", two)
    one.leaves()
    assert len(alive(world)) == 1


def test_what_an_owned_process_says_never_travels_with_the_request_of_one_that_lists_there():
    world = world_of(a=offers(tools=["t"], resources=["a:/"]))
    owner, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(owner)
    own = world.own("a", owner)
    own.says(id=take_call(world, own.label)["id"], result={})
    owner.gets()
    other.asks("resources/subscribe", uri="a:/")
    other.asks("resources/unsubscribe", uri="a:/")  # the request that is under way for `other`
    own.says(id=1, method="elicitation/create", params={})
    own.says(method="notifications/message", params={"level": "info", "data": "owner's"})
    assert [message["method"] for message in owner.gets()] == [
        "elicitation/create", "notifications/message"]
    assert other.gets() == []


# -- taking turns


def test_sessions_that_call_one_after_another_take_turns_on_one_process():
    world = world_of(shared=True)
    clients = [world.client(capabilities=ASKABLE) for _ in range(20)]
    for client in clients:
        call(client)
        (label,) = alive(world)
        world[label].says(id=take_call(world, label)["id"], result={})
        assert client.gets()[-1]["result"] == {}
    assert len(alive(world)) == 1


def test_calls_at_the_same_time_get_a_process_each_and_each_asks_its_own_session():
    world = world_of(shared=True)
    clients = [world.client(capabilities=ASKABLE) for _ in range(6)]
    for client in clients:
        call(client)
    world.clock.advance(PRESSES)
    assert len(alive(world)) == 6
    for client in clients:
        client.gets()
        world.own("a", client).says(id=1, method="elicitation/create", params={})
    for number, client in enumerate(clients):
        question = client.get()
        client.sends(id=question["id"], result={"number": number})
        assert world.own("a", client).takes()[-1]["result"] == {"number": number}


def test_calls_that_are_short_take_turns_in_the_order_in_which_they_came(monkeypatch):
    monkeypatch.setattr(waiting, "STARTS_AT_ONCE", 1)
    world = world_of(shared=True)
    clients = [world.client(capabilities=ASKABLE) for _ in range(6)]
    for client in clients:
        call(client)
    for client in clients:
        (label,) = alive(world)
        world[label].says(id=take_call(world, label)["id"], result={"to": client.session.name})
        assert client.gets()[-1]["result"] == {"to": client.session.name}


def test_many_waiting_calls_that_fail_as_they_begin_do_not_keep_the_process_from_the_next(caplog):
    world = world_of(shared=True, limit=0)
    first, *rude, honest = [world.client(capabilities=ASKABLE) for _ in range(302)]
    call(first)
    for client in rude:     # the token is too long to be kept
        client.sends(id="c", method="tools/call", params={
            "name": "a__t", "_meta": {"progressToken": "x" * 10_001}})
    call(honest)
    (label,) = alive(world)
    answer_call(world, world[label])
    assert all("error" in client.get() for client in rude)
    assert take_call(world, label) and "something was lost" not in caplog.text
    assert world.own("a", honest) is world[label]


def test_calls_that_come_while_another_process_ends_start_only_a_few():
    world = world_of(shared=True)
    clients = [world.client(capabilities=ASKABLE) for _ in range(40)]
    other = world.client(capabilities={"sampling": {}})
    call(other)
    call(clients[0])
    world.own("a", other).offers["stubborn"] = True
    before = len(world.pool.tables.uses())
    other.leaves()
    for client in clients[1:]:
        call(client)
    assert len(world.pool.tables.uses()) - before < waiting.STARTS_AT_ONCE


def test_a_session_holds_a_process_for_all_its_calls_and_gets_the_one_it_used_last():
    world = world_of(shared=True)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one, 1)
    call(one, 2)
    assert len(alive(world)) == 1
    call(two, 1)
    ones, twos = world.own("a", one), world.own("a", two)
    for server in (ones, twos):
        for message in server.takes():
            if message.get("method") == "tools/call":
                server.says(id=message["id"], result={})
    call(one, 3)
    assert world.own("a", one) is ones
    call(two, 2)
    assert world.own("a", two) is twos


def test_a_process_that_nobody_held_for_a_minute_ends_except_the_last_of_its_kind():
    world = world_of(shared=True)
    clients = [world.client(capabilities=ASKABLE) for _ in range(3)]
    for client in clients:
        call(client)
    world.clock.advance(PRESSES)
    assert len(alive(world)) == 3
    for client in clients:
        server = world.own("a", client)
        server.says(id=take_call(world, server.label)["id"], result={})
    world.clock.advance(IDLE_SECONDS + 1)
    assert len(alive(world)) == 1
    for client in clients:
        client.asks("tools/list", id=5)
        assert client.gets()[-1]["result"]["tools"]


def test_calls_of_one_session_that_wait_for_a_start_cost_one_process():
    world = world_of(shared=True, a=offers(tools=["t"], slow=True))
    client = world.new_client()
    client.sends(id="init", method="initialize", params={
        "protocolVersion": "2025-11-25", "capabilities": ASKABLE})
    world.clock.advance(INITIALIZE_PATIENCE)
    call(client, 1)
    call(client, 2)
    assert len(alive(world)) == 1


def test_a_process_that_was_started_for_a_call_that_is_over_ends_after_a_minute():
    world = world_of(shared=True)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    world.offers["a"]["slow"] = True
    call(two, "c2")
    world.clock.advance(PRESSES)
    two.sends(method="notifications/cancelled", params={"requestId": "c2"})
    held, unused = map(world.servers.get, alive(world))
    unused.answer_initialize()
    world.clock.advance(IDLE_SECONDS + 1)
    assert alive(world) == [held.label]


def test_a_process_of_another_client_that_is_given_up_is_no_reason_to_fail():
    world = world_of(shared=True)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    owned = world.own("a", one)
    owned.says(id=1, method="roots/list")
    world.offers["a"]["initializes"] = "dies"
    owned.dies()
    world.clock.advance(1000)
    del world.offers["a"]["initializes"]
    call(two)
    label = world.own("a", two).label
    assert take_call(world, label)
    world[label].says(id=5, result={})
    world.clock.advance(3 * IDLE_SECONDS)
    assert label in alive(world)


def test_a_withdrawn_call_without_an_answer_ends_its_process_when_its_session_lets_go_of_it():
    world = world_of(shared=True)
    client = world.client(capabilities=ASKABLE)
    call(client, 1)
    (label,) = alive(world)
    client.sends(method="notifications/cancelled", params={"requestId": 1})
    call(client, 2)
    world.clock.advance(LATE_SECONDS + 1)
    call(client, 3)
    assert alive(world) == [label]
    for message in world[label].takes():
        if message.get("method") == "tools/call" and message["id"] != 1:
            world[label].says(id=message["id"], result={})
    assert label not in alive(world)


def test_a_process_that_has_died_is_not_held_for_a_withdrawn_call():
    world = world_of(shared=True)
    client = world.client(capabilities=ASKABLE)
    call(client, 1)
    client.sends(method="notifications/cancelled", params={"requestId": 1})
    world.own("a", client).dies()
    call(client, 2)
    world.clock.advance(1)
    assert len(alive(world)) == 1


def test_a_process_that_asked_for_roots_in_a_later_call_is_its_holders_own_from_then_on():
    world = world_of(shared=True)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    for id in (1, 2):
        call(one, id)
        server = world.own("a", one)
        server.says(id=take_call(world, server.label)["id"], result={})
    call(one, 3)
    server.says(id=9, method="roots/list")
    server.says(id=take_call(world, server.label)["id"], result={})
    call(two, 1)
    assert world.own("a", two) is not server
    call(one, 4)
    assert world.own("a", one) is server


def test_a_question_when_nobody_holds_the_process_is_answered_with_an_error():
    world = world_of(shared=True)
    client = world.client(capabilities=ASKABLE)
    call(client)
    server = world.own("a", client)
    server.says(id=take_call(world, server.label)["id"], result={})
    client.gets()
    server.says(id=1, method="elicitation/create", params={})
    assert server.take()["error"]["code"] == -32601
    assert client.gets() == []


def test_a_cancelled_call_keeps_its_process_for_a_moment_for_what_the_server_says_too_late():
    world = world_of(shared=True)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    server = world.own("a", one)
    one.sends(method="notifications/cancelled", params={"requestId": "c1"})
    call(two)
    world.clock.advance(PRESSES)
    assert world.own("a", two) is not server
    server.takes()
    server.says(id=1, method="elicitation/create", params={})
    assert one.gets()[-1]["method"] == "elicitation/create"
    world.clock.advance(LATE_SECONDS)
    assert world.pool.owned(one.session) == []


def test_a_process_that_asks_a_client_that_has_left_for_roots_is_not_its_own_for_ever():
    world = world_of(shared=True, limit=1)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    server = world.own("a", one)
    one.leaves()
    server.says(id=1, method="roots/list")
    assert "error" in server.takes()[-1]
    world.clock.advance(LATE_SECONDS)
    assert server.closed  # it never answered the call that was withdrawn
    call(two)
    assert take_call(world, world.own("a", two).label)


def test_a_call_waits_for_its_turn_in_order_if_there_may_be_no_more_processes():
    world = world_of(shared=True, limit=0)
    clients = [world.client(capabilities=ASKABLE) for _ in range(3)]
    for client in clients:
        call(client)
    (label,) = alive(world)
    for client in clients:
        assert world.own("a", client).label == label
        world[label].says(id=take_call(world, label)["id"], result={})
        assert client.gets()[-1]["result"] == {}


# -- the limit


def test_the_limit_refuses_no_connection_and_a_call_with_what_to_do():
    world = world_of(limit=0)
    first, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(first)
    call(other)
    other.asks("tools/list", id=5)
    assert [message["id"] for message in other.gets()] == [5]
    world.clock.advance(CALL_PATIENCE)
    code, text = error_of(other.get())
    assert code == -32000 and "--max-processes" in text and '"shared": true' in text
    assert "1 belong to 1 clients" in text
    first.leaves()
    world.clock.advance(1)
    call(other, 2)
    assert take_call(world, world.own("a", other).label)


def test_a_call_does_not_wait_for_ever_for_room_while_the_era_of_its_server_is_unknown():
    world = world_of(shared=False, limit=0, a=offers(tools=["t"], discovers="silence",
                                                     initializes="silence"))
    clients = [world.new_client(), world.new_client()]
    for client, capabilities in zip(clients, (ASKABLE, {"roots": {}})):
        client.sends(id="init", method="initialize", params={
            "protocolVersion": "2025-11-25", "capabilities": capabilities})
    world.clock.advance(INITIALIZE_PATIENCE)
    call(clients[1])
    clients[1].gets()
    world.clock.advance(CALL_PATIENCE)
    assert "no process was free" in clients[1].get()["error"]["message"]


def test_a_call_that_waits_for_room_gets_it_as_soon_as_there_is_some():
    world = world_of(limit=0)
    first, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(first)
    call(other)
    first.leaves()
    world.clock.advance(1)
    assert take_call(world, world.own("a", other).label)


def test_what_waits_for_a_process_that_does_not_start_is_answered():
    world = world_of()
    call(world.client(capabilities=ASKABLE))
    world.offers["a"]["initializes"] = "silence"
    client = world.client("a", {"sampling": {}})    # what was listed is remembered
    client.asks("completion/complete", id=2)
    assert client.gets() == []
    world.clock.advance(100)
    assert "did not answer within 60 seconds" in error_of(client.gets()[0])[1]


def test_a_call_of_a_session_that_has_let_go_of_its_processes_does_not_wait_for_its_turn():
    world = world_of(limit=1)
    first, other, gone = [world.client(capabilities=ASKABLE) for _ in range(3)]
    call(first)
    call(other)
    world.pool.release(gone.session)  # as after an initialize that failed
    call(gone)
    assert error_of(gone.get())[1] .startswith("this session has ended")
    first.leaves()
    world.clock.advance(1)
    assert take_call(world, world.own("a", other).label)


def silent(client, seconds=2 * SILENT_SECONDS):
    """This client has given no sign of life for so long."""
    client.session.seconds_silent = lambda: seconds


def ended(world, client):
    return world.router.sessions.find(client.session.id) is None


def test_a_call_that_finds_no_room_ends_the_session_that_is_silent_for_longest(caplog):
    world = world_of(limit=1)
    longest, gone, other = [world.client(capabilities=ASKABLE) for _ in range(3)]
    for client in (longest, gone):
        call(client)
        answer_call(world, world.own("a", client))
        silent(client)
    silent(longest, 10 * SILENT_SECONDS)
    call(other, 1)
    call(other, 2)  # it waits for the same process, so no other session has to end for it
    assert ended(world, longest) and not ended(world, gone)
    assert f"{longest.session.name} ends to make room" in caplog.text
    world.clock.advance(1)
    assert take_call(world, world.own("a", other).label)


def test_a_session_whose_client_is_there_or_has_a_call_does_not_end_to_make_room():
    world = world_of(limit=1)
    there, calling, other = [world.client(capabilities=ASKABLE) for _ in range(3)]
    for client in (there, calling):
        call(client)
    answer_call(world, world.own("a", there))
    silent(there, SILENT_SECONDS / 2)
    silent(calling)
    call(other)
    assert not ended(world, there) and not ended(world, calling)


def test_room_is_looked_for_again_while_a_call_waits():
    world = world_of(limit=1)
    first, second, other = [world.client(capabilities=ASKABLE) for _ in range(3)]
    for client in (first, second):
        call(client)
        answer_call(world, world.own("a", client))
    call(other)
    assert not ended(world, first) and not ended(world, second)
    silent(second)      # only now
    world.clock.advance(2 * ROOM_SECONDS)
    assert ended(world, second) and not ended(world, first)
    assert take_call(world, world.own("a", other).label)


@pytest.mark.parametrize("count", [1, 40])
def test_room_is_looked_for_once_however_many_calls_wait(monkeypatch, count):
    world = world_of(limit=1)
    clients = [world.client(capabilities=ASKABLE) for _ in range(2 + count)]
    for client in clients:
        call(client)
    looks = []
    monkeypatch.setattr(world.pool, "make_room", lambda owners: looks.append(owners))
    world.clock.advance(ROOM_SECONDS)
    assert len(looks) == 1


def test_what_has_become_free_meanwhile_makes_way_for_a_call_that_waits():
    world = world_of(shared=True, limit=0)
    plain, other = world.client(), world.client(capabilities=ASKABLE)
    call(plain)
    call(other)
    assert other.gets() == []
    answer_call(world, world["a"])      # which tells nobody
    world.clock.advance(2 * ROOM_SECONDS)
    (label,) = alive(world)
    assert label != "a" and take_call(world, label)


def test_for_want_of_room_only_a_server_that_has_it_not_is_advised_to_be_shared(caplog):
    world = world_of(shared=True, limit=0)
    one, other = world.client(capabilities=ASKABLE), world.client(capabilities={"sampling": {}})
    call(one)
    call(other)
    world.clock.advance(CALL_PATIENCE)
    assert error_of(other.get())[1].endswith("close a client, or raise --max-processes")
    world = world_of(limit=0)
    one, other = [world.client(capabilities=ASKABLE) for _ in range(2)]
    call(one)
    call(other)
    world.clock.advance(CALL_PATIENCE)
    assert '"shared": true for a, if' in error_of(other.get())[1]


def test_no_session_ends_for_whom_that_would_make_no_room():
    world = world_of(limit=0, a=offers(tools=["t"]), b=offers(tools=["t"]))
    there, elsewhere, other = [world.client(capabilities=ASKABLE) for _ in range(3)]
    call(there)
    call(elsewhere, name="b__t")
    answer_call(world, world.own("b", elsewhere))
    silent(elsewhere)
    call(other)
    assert not ended(world, elsewhere)


# -- faults


def test_a_session_that_leaves_while_its_first_call_waits_for_the_start_leaves_nothing():
    world = world_of(a=offers(tools=["t"], slow=True))
    client = world.new_client()
    client.asks("initialize", capabilities=ASKABLE)
    world.clock.advance(5)
    call(client)
    client.leaves()
    world.clock.advance(1)
    assert [label for label in alive(world) if label != "a"] == []
    assert error_of(client.gets()[1])[1] == "the session has ended"


def test_a_call_that_is_cancelled_while_its_process_starts_is_never_sent():
    world = world_of()
    first, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(first)
    world.offers["a"]["slow"] = True
    call(other)
    own = world.own("a", other)
    other.sends(method="notifications/cancelled", params={"requestId": "c1"})
    own.answer_initialize()
    assert [message["method"] for message in own.takes()] == []


def test_a_process_that_dies_while_it_starts_fails_the_call_that_waits():
    world = world_of()
    first, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(first)
    world.offers["a"]["slow"] = True
    call(other)
    world.own("a", other).dies()
    assert "out of luck" in error_of(other.gets()[-1])[1]
    call(first, 2)
    assert take_call(world, world.own("a", first).label)


def test_a_process_that_dies_while_held_fails_its_calls_and_those_that_wait_go_on_waiting():
    world = world_of(shared=True, limit=0)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    call(two)
    world.own("a", one).dies()
    assert "out of luck" in error_of(one.gets()[-1])[1]
    assert two.gets() == []
    world.clock.advance(2)
    assert take_call(world, world.own("a", two).label)


def test_the_process_that_lists_is_started_again_for_those_who_list_from_it():
    world = world_of()
    clients = [world.client(capabilities=ASKABLE) for _ in range(10)]
    for client in clients:
        client.asks("tools/list", id="first")
        client.gets()
    world.own("a", clients[0]).dies()
    world.clock.advance(2)
    assert len(alive(world)) == 1
    for client in clients:
        assert [message["method"] for message in client.gets()] == [
            "notifications/tools/list_changed"]


def test_the_last_session_with_equal_capabilities_leaves_while_the_first_call_of_another_waits():
    world = world_of()
    first, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(first)
    world.offers["a"]["slow"] = True
    call(other)
    first.leaves()
    own = world.own("a", other)
    own.answer_initialize()
    assert take_call(world, own.label)["params"]["name"] == "t"
    other.leaves()
    assert alive(world) == []


def test_roots_of_one_client_never_reach_the_process_of_another():
    world = world_of()
    clients = [world.client(capabilities=ASKABLE) for _ in range(4)]
    for client in clients:
        call(client)
        world.own("a", client).says(id=1, method="roots/list")
    for number, client in enumerate(clients):
        question = client.gets()[-1]
        client.sends(id=question["id"], result={"roots": [number]})
    for number, client in enumerate(clients):
        client.sends(method="notifications/roots/list_changed")
        sent = world.own("a", client).takes()
        assert [message["result"]["roots"] for message in sent if "result" in message] == [
            [number]]
        assert [message["method"] for message in sent if "method" in message][-1] == (
            "notifications/roots/list_changed")


def test_a_client_that_leaves_while_it_initializes_leaves_no_process_behind():
    world = by_capabilities(slow=True)
    world["a"].answer_initialize()
    client = world.new_client()
    client.asks("initialize", capabilities=ASKABLE)
    own = world.own("a", client)
    client.leaves()
    world.clock.advance(1)
    assert own.closed or not own.started
    refused, end = client.gets()
    assert error_of(refused)[1] == "the session has ended" and end is CLOSE


def test_an_initialize_that_waits_for_a_process_of_a_client_that_leaves_waits_for_the_next():
    world = by_capabilities(slow=True)
    world["a"].answer_initialize()
    other, client = world.new_client(), world.new_client("a")
    for each in (other, client):
        each.asks("initialize", capabilities=ASKABLE)
    world.clock.advance(10)
    call(other)
    other.leaves()
    assert client.gets() == []
    world.clock.advance(1)
    world.own("a", client).answer_initialize()
    assert "result" in client.get()
    client.leaves()
    world.clock.advance(1)
    assert [use.key for use in world.pool.tables.uses()] == [b""]


# -- one client only


def test_with_one_client_only_everything_is_its_own():
    world = World(share=False, a=offers(tools=["t"]))
    assert world.servers == {}  # they start when the client says what it can be asked
    client = world.client(capabilities={"roots": {}})
    assert world["a"].initialize["params"]["capabilities"] == {"roots": {}}
    client.leaves()
    assert world["a"].closed


def test_a_client_that_leaves_before_its_server_is_started_again_leaves_no_process_behind():
    world = World(share=False, a=offers(tools=["t"]))
    client = world.client()
    upstream, connect = client.session.upstreams["a"], client.session.upstreams["a"].connect

    def leave_then_connect():
        client.leaves()
        return connect()
    upstream.connect = leave_then_connect
    first_life = world["a"]
    first_life.dies()
    world.clock.advance(2)
    assert world["a"] is not first_life and not world["a"].started


def test_a_client_that_leaves_while_its_server_is_started_again_leaves_no_process_behind():
    world = World(share=False, a=offers(tools=["t"]))
    client = world.client()
    upstream, connect = client.session.upstreams["a"], client.session.upstreams["a"].connect

    def connect_to_one_that_starts_as_the_client_leaves():
        server = connect()
        start = server.start

        def leave_then_start(on_message, on_closed):
            client.leaves()
            start(on_message, on_closed)
        server.start = leave_then_start
        return server
    upstream.connect = connect_to_one_that_starts_as_the_client_leaves
    world["a"].dies()
    world.clock.advance(2)
    assert world["a"].started and world["a"].closed


# -- what is shown of it


def test_health_tells_whose_each_process_is():
    world = world_of(shared=True)
    client = world.client(capabilities=ASKABLE)
    call(client)
    server = world.router.health()["servers"]["a"]
    (process,) = server["processes"]
    assert (process["heldBy"], process["owner"]) == (client.session.name, None)
    assert process["capabilities"] == ["elicitation", "roots"]
    assert json.dumps(server)


# -- late, cancelled, dead: who gets what


def test_a_call_that_is_cancelled_while_it_waits_for_its_turn_is_never_sent():
    world = world_of(shared=True, limit=0)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    call(two)
    server = world.own("a", one)
    two.sends(method="notifications/cancelled", params={"requestId": "c1"})
    answer_call(world, server)
    assert server.takes() == []


def test_a_question_that_comes_late_for_a_withdrawn_call_never_reaches_the_next_session():
    world = world_of(shared=True, limit=0)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    call(two)
    server = world.own("a", one)
    one.sends(method="notifications/cancelled", params={"requestId": "c1"})
    world.clock.advance(LATE_SECONDS + 1)
    assert server.closed and world.own("a", two) is not server


def test_an_answer_to_a_withdrawn_call_frees_its_process_for_the_next_session():
    world = world_of(shared=True, limit=0)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    call(two)
    server = world.own("a", one)
    sent = take_call(world, server.label)
    one.sends(method="notifications/cancelled", params={"requestId": "c1"})
    server.says(id=sent["id"], error={"code": 0, "message": "cancelled"})
    assert world.own("a", two) is server and take_call(world, server.label)


def test_a_late_log_line_never_reaches_the_next_session():
    world = world_of(shared=True, limit=0, a=offers(tools=["t"], capabilities={"logging": {}}))
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    call(two)
    server = world.own("a", one)
    answer_call(world, server)
    two.gets()
    server.says(method="notifications/message", params={"level": "error", "data": "one's"})
    assert two.gets() == []


def test_a_dead_process_does_not_swallow_the_calls_that_wait():
    world = world_of(shared=True, limit=1)
    clients = [world.client(capabilities=ASKABLE) for _ in range(6)]
    for client in clients:
        call(client)
    world.own("a", clients[0]).dies()
    for _ in range(10):
        for server in [world[label] for label in alive(world)]:
            if [message for message in server.received if message.get("method") == "tools/call"]:
                answer_call(world, server)
        world.clock.advance(1)
    assert ["result" in client.gets()[-1] for client in clients] == [False, *[True] * 5]


def test_a_list_in_flight_is_asked_again_where_the_session_lists_now():
    world = by_capabilities()
    first, other = [world.client(capabilities=ASKABLE) for _ in range(2)]
    lister = world.own("a", other)
    assert world.own("a", first) is lister
    lister.offers = {**lister.offers, "lists": {}}  # it is slow
    other.asks("tools/list", id="l")
    assert other.gets() == []
    call(first)
    assert world.own("a", first) is lister
    first.leaves()
    answer = next(message for message in other.gets() if message.get("id") == "l")
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["a__t"]


def test_a_second_call_of_a_session_that_owns_a_process_by_then_waits_behind_nobody():
    world = world_of(limit=0)
    first, one, two = [world.client(capabilities=ASKABLE) for _ in range(3)]
    call(first)
    call(one, 1)
    call(two, 1)
    call(one, 2)
    first.leaves()
    world.clock.advance(1)
    sent = [message for message in world.own("a", one).takes()
            if message.get("method") == "tools/call"]
    assert len(sent) == 2


def test_a_cancelled_call_behind_another_of_its_session_is_dropped_and_the_other_runs(caplog):
    world = world_of(limit=0)
    first, one = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(first)
    call(one, 1)
    call(one, 2)
    one.sends(method="notifications/cancelled", params={"requestId": 2})
    first.leaves()
    world.clock.advance(1)
    assert [message["method"] for message in world.own("a", one).takes()] == ["tools/call"]
    assert "a change of the processes failed" not in caplog.text


# -- what rests


def test_what_comes_back_with_the_lists_that_it_had_is_no_news():
    world = world_of()
    call(world.client(capabilities=ASKABLE))
    plain = world.client()
    plain.asks("tools/list")
    plain.gets()
    call(plain)
    assert take_call(world, "a") and plain.gets() == []


def test_what_comes_back_with_other_lists_is_news():
    world = world_of()
    call(world.client(capabilities=ASKABLE))
    plain = world.client()
    plain.asks("tools/list")
    plain.gets()
    world.offers["a"] = offers(tools=["t", "u"])
    call(plain)
    assert plain.get()["method"] == "notifications/tools/list_changed"


def test_a_list_that_changed_before_its_process_rests_is_not_remembered():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    world["a"].offers = offers(tools=["t", "u"])
    world["a"].says(method="notifications/tools/list_changed")
    call(client)
    world.offers["a"] = offers(tools=["t", "u"])
    plain = world.client("a")
    plain.asks("tools/list", id="l")
    assert [tool["name"] for tool in plain.gets()[-1]["result"]["tools"]] == ["t", "u"]


def test_a_subscription_brings_back_what_rests():
    world = world_of(a=offers(tools=["t"], resources=["a:/"]))
    call(world.client(capabilities=ASKABLE))
    plain = world.client()
    plain.asks("resources/subscribe", uri="a:/")
    assert "resources/subscribe" in [message["method"] for message in world["a"].takes()]
    world["a"].says(method="notifications/resources/updated", params={"uri": "a:/"})
    assert plain.gets()[-1]["method"] == "notifications/resources/updated"


def test_a_request_for_what_rests_for_which_too_many_wait_ends_at_once(monkeypatch):
    world = world_of(a=offers(tools=["t"], resources=["a:1", "a:2"]))
    call(world.client(capabilities=ASKABLE))
    world.offers["a"]["slow"] = True
    plain = world.client()
    monkeypatch.setattr("transports.fabric.session.too_far_behind", lambda kept, _: kept >= 1)
    for id in (1, 2):
        plain.asks("resources/subscribe", id=id, uri=f"a:{id}")
    answer = plain.get()
    assert answer["id"] == 2 and "too many requests wait for \"a\"" in answer["error"]["message"]
    world["a"].answer_initialize()
    asked = world["a"].takes()[-1]
    assert asked["method"] == "resources/subscribe"
    world["a"].says(id=asked["id"], result={})
    assert plain.get()["id"] == 1
    assert [use.asks for use in world.pool.tables.uses()] == [0, 0]


def test_a_server_that_lists_by_capabilities_is_found_out_and_its_clients_hear_that():
    world = world_of()
    other = world.client(capabilities=ASKABLE)
    other.asks("tools/list")
    other.gets()
    world.offers["a"] = offers(tools=["t", "ask"])      # to a client that can be asked
    call(world.client(capabilities=ASKABLE))
    assert other.get()["method"] == "notifications/tools/list_changed"
    other.asks("tools/list", id="l")
    assert [tool["name"] for tool in other.get()["result"]["tools"]] == ["a__t", "a__ask"]
    lister = world.own("a", other)
    assert lister.initialize["params"]["capabilities"] == ASKABLE
    assert world.pool.owned(other.session) == []


def test_the_first_call_of_a_process_waits_for_the_answers_to_what_the_process_asked():
    world = world_of(a=offers(tools=["t"], slow=True))
    world["a"].answer_initialize()
    client = world.client(capabilities=ASKABLE)
    call(client)
    own = world.own("a", client)
    own.says(id=1, method="roots/list")
    own.answer_initialize()
    question = client.get()
    world.clock.advance(1)
    assert own.takes() == []
    client.sends(id=question["id"], result={"roots": []})
    assert own.take()["result"] == {"roots": []}
    world.clock.advance(DIGEST_SECONDS + LOOK_AGAIN)
    assert own.take()["method"] == "tools/call"


def test_a_client_that_never_answers_delays_its_first_call_by_two_seconds():
    world = world_of(a=offers(tools=["t"], slow=True))
    world["a"].answer_initialize()
    client = world.client(capabilities=ASKABLE)
    call(client)
    own = world.own("a", client)
    own.says(id=1, method="roots/list")
    own.answer_initialize()
    world.clock.advance(1.9)
    assert own.takes() == []
    world.clock.advance(0.1 + DIGEST_SECONDS + LOOK_AGAIN)
    assert own.take()["method"] == "tools/call"


def test_a_session_that_holds_a_process_does_not_wait_behind_another():
    world = world_of(shared=True, limit=1)
    one, two, three = [world.client(capabilities=ASKABLE) for _ in range(3)]
    call(one)
    call(two)
    call(three)     # waits for its turn
    call(one, "within")
    assert len([message for message in world.own("a", one).takes()
                if message.get("method") == "tools/call"]) == 2


def test_a_call_waits_for_a_start_for_as_long_as_that_may_take():
    world = world_of(shared=True, a=offers(tools=["t"], slow=True))
    world["a"].answer_initialize()
    client = world.client(capabilities=ASKABLE)
    call(client)
    world.clock.advance(CALL_PATIENCE + 10)
    assert client.gets() == []
    world[alive(world)[-1]].answer_initialize()
    assert take_call(world, alive(world)[-1])


def test_a_process_that_dies_at_its_start_is_started_again_after_pauses_whoever_waits():
    world = world_of(shared=True)
    client = world.client(capabilities=ASKABLE)
    world.offers["a"] = offers(initializes="dies")
    call(client)
    world.clock.advance(2.9)    # pauses of 1 and 2 seconds
    assert len([server for server in world.made if server.label != "a"]) == 2


def test_a_question_of_a_process_that_is_told_to_end_is_for_nobody_who_comes_later():
    world = world_of(shared=True, a=offers(tools=["t"], stubborn=True))
    first = world.client(capabilities=ASKABLE)
    call(first)
    ending = world.own("a", first)
    first.leaves()
    assert ending.closing and not ending.closed
    other = world.client(capabilities=ASKABLE)
    ending.says(id=9, method="roots/list")
    assert other.gets() == [] and "error" in ending.takes()[-1]


def test_nobody_lists_from_a_process_that_took_turns_and_is_somebodys_own_by_now():
    world = world_of(shared=True)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    mine = world.own("a", one)
    assert world.own("a", two) is mine  # two lists there
    mine.says(id=1, method="roots/list")
    two.asks("tools/list", id="l")
    assert two.get()["result"]["tools"] == [{"name": "a__t"}]
    assert "tools/list" not in [message["method"] for message in mine.takes()]
    assert two.session.upstreams["a"].use.owner is None


def test_what_clients_keep_in_the_process_for_all_does_not_rest_for_want_of_room():
    world = world_of(limit=0)
    plain = world.client()
    call(plain)
    answer_call(world, world["a"])
    kept = world["a"]
    call(world.client(capabilities=ASKABLE))
    assert not kept.closing


def test_a_server_that_was_given_up_is_tried_again_for_a_client_that_comes():
    world = world_of()
    world.client()
    world.offers["a"]["initializes"] = "dies"
    world["a"].dies()
    world.clock.advance(1000)
    assert alive(world) == [] and world.pool.upstreams()["a"][0].restarts.given_up
    del world.offers["a"]["initializes"]
    client = world.client()
    call(client)
    assert alive(world) == ["a"] and take_call(world, "a")


# -- what is put to rest because nobody needs it


def tire(world, name="a"):
    """Nobody needs these: say so, as a room does."""
    for upstream in world.pool.upstreams()[name]:
        upstream.use.tired, upstream.use.recent = True, False
    world.pool.changed()


@pytest.mark.parametrize("share, capabilities", [(True, {}), (False, {}), (False, ASKABLE)])
def test_what_nobody_needs_rests_and_the_next_call_has_it_back(share, capabilities):
    world = World(share=share, a=offers(tools=["t"]))
    client = world.client(capabilities=capabilities)
    for _ in range(3):
        call(client)
        answer_call(world, world["a"])
        assert client.gets()
        tire(world)
        assert alive(world) == [] and world.pool.upstreams()["a"][0].state == "resting"
        client.asks("tools/list", id="l")
        assert client.get()["result"]["tools"] == [{"name": "a__t"}] and alive(world) == []


def test_what_answers_a_call_does_not_rest():
    world = world_of()
    client = world.client()
    call(client)
    tire(world)
    assert alive(world) == ["a"]
    answer_call(world, world["a"])
    assert client.get()["result"] == {}


def test_a_call_that_comes_between_the_decision_and_the_end_keeps_its_process():
    world = world_of()
    client = world.client()
    call(client)
    assert world.pool.upstreams()["a"][0].rest() is None
    answer_call(world, world["a"])
    assert client.get()["result"] == {} and alive(world) == ["a"]


@pytest.mark.parametrize("share, capabilities", [(True, {}), (False, ASKABLE)])
@pytest.mark.parametrize("method, params", [
    ("tools/call", {"name": "a__t"}), ("resources/subscribe", {"uri": "a:/"}),
    ("completion/complete", {"ref": {"name": "a__p"}})])
def test_a_request_that_comes_at_the_moment_of_the_end_goes_to_the_next_process(
        share, capabilities, method, params):
    world = World(share=share, a=offers(tools=["t"], prompts=["p"], resources=["a:/"]))
    client = world.client(capabilities=capabilities)
    call(client, id="first")
    answer_call(world, world["a"])
    client.gets()
    before, upstream = world["a"], world.pool.upstreams()["a"][0]
    resting_meanwhile(upstream, lambda: client.asks(method, id="late", **params))
    now = world.own("a", client)
    assert now is not before and before.closed and before.takes() == []
    while not (asked := [message for message in now.takes() if message.get("method") == method]):
        world.clock.advance(0.1)
    for message in asked:   # a new process is told what its clients are subscribed to, too
        now.says(id=message["id"], result={"answered": True})
    assert [message["result"] for message in client.gets() if message.get("id") == "late"] == [
        {"answered": True}]


def test_the_first_call_after_its_rest_waits_for_the_answers_to_what_the_process_asks():
    world = World(share=False, a=offers(tools=["t"], slow=True))
    client = world.new_client()
    client.asks("initialize", capabilities=ASKABLE)
    world["a"].answer_initialize()
    client.sends(method="notifications/initialized")
    client.gets()
    tire(world)
    call(client)
    world["a"].says(id=1, method="roots/list")
    world["a"].answer_initialize()
    question = client.get()
    assert world["a"].takes() == []
    client.sends(id=question["id"], result={"roots": []})
    assert world["a"].take()["result"] == {"roots": []}
    world.clock.advance(DIGEST_SECONDS + LOOK_AGAIN)
    assert world["a"].take()["method"] == "tools/call"


def test_a_capability_that_is_gone_after_the_rest_is_told():
    world = world_of(a=offers(tools=["t"], prompts=["p"]))
    client = world.client()
    client.asks("prompts/list", id="p")
    client.gets()
    tire(world)
    world.offers["a"] = offers(tools=["t"])
    call(client)
    told = [message["method"] for message in client.gets()]
    assert "notifications/prompts/list_changed" in told
    client.asks("prompts/list", id="p")
    assert client.get()["result"] == {"prompts": []}


def test_the_table_does_not_wait_for_what_rests():
    world = world_of()
    tire(world)
    told = []
    world.pool.upstreams()["a"][0].when_settled(lambda: told.append(1))
    assert told == [1]


# -- what a reviewer found


def test_what_rests_still_lists_while_it_comes_back_and_whoever_needs_it_waits():
    world = world_of(a=offers(tools=["t"], resources=["a:1", "a:2"]))
    call(world.client(capabilities=ASKABLE))
    world.offers["a"]["slow"] = True
    other = world.client("a")
    other.asks("resources/subscribe", id="s", uri="a:/")
    assert other.gets() == [] and "a" in alive(world)
    other.asks("tools/list", id="l")
    assert other.get()["result"]["tools"] == [{"name": "t"}]
    world["a"].answer_initialize()
    assert "resources/subscribe" in [message["method"] for message in world["a"].takes()]


def test_a_list_that_a_resting_server_does_not_have_starts_nothing():
    world = world_of()
    call(world.client(capabilities=ASKABLE))
    before, other = alive(world), world.client("a", capabilities=ASKABLE)
    other.asks("prompts/list")
    assert other.get()["error"]["code"] == -32601 and alive(world) == before


def test_a_page_that_nobody_remembers_is_fetched_from_the_server():
    world = world_of()
    call(world.client(capabilities=ASKABLE))
    world.offers["a"]["slow"] = True
    other = world.client("a")
    other.asks("tools/list", cursor="2")
    assert other.gets() == [] and "a" in alive(world)


def test_a_subscription_while_the_own_process_of_the_client_starts_starts_no_other():
    world = world_of(a=offers(tools=["t"], resources=["a:/"]))
    client = world.client(capabilities=ASKABLE)
    world.offers["a"]["slow"] = True
    call(client)
    (own,) = alive(world)
    client.asks("resources/subscribe", id="s", uri="a:/")
    assert alive(world) == [own] != ["a"]
    world[own].answer_initialize()
    assert "resources/subscribe" in [message["method"] for message in world[own].takes()]


def test_a_lister_that_died_does_not_come_back_beside_the_own_process_of_its_only_client():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    world["a"].dies()
    world.offers["a"]["slow"] = True
    call(client)
    assert len(alive(world)) == 1 and alive(world) != ["a"]
    world.clock.advance(CALL_PATIENCE)
    assert len(alive(world)) == 1


@pytest.mark.parametrize("shared", [None, True])
def test_a_call_that_only_waits_for_its_start_ends_nothing(shared):
    world = world_of(shared, a=offers(tools=["t"]), b=offers(tools=["t"]))
    clients = [world.client(capabilities=ASKABLE) for _ in range(3)]
    for client in clients:
        call(client)
        answer_call(world, world.own("a", client))
        client.gets()
    world.offers["b"]["slow"] = True
    before = {*alive(world)}
    call(clients[0], name="b__t")
    world.clock.advance(5)
    assert before <= {*alive(world)}


def test_when_all_processes_of_a_server_die_at_once_it_goes_on_for_those_who_come_later():
    world = world_of(shared=True, a=offers(tools=["t"], resources=["a:/"]))
    plain, client = world.client(), world.client(capabilities=ASKABLE)
    call(client)
    own = world.own("a", client)
    answer_call(world, own)
    client.asks("resources/subscribe", id="s", uri="a:/")
    world["a"].dies()
    own.dies()
    assert alive(world) == []   # there is a pause
    world.clock.advance(2)
    plain.leaves()
    world.clock.advance(5)
    later = world.client()
    call(later)
    world.clock.advance(1)
    assert take_call(world, later.session.upstreams["a"].label)


def test_a_call_that_gave_up_waiting_is_not_sent_later():
    world = world_of(limit=0, a=offers(resources=["x:/1"], templates=["x:/{id}"]),
                     b=offers(templates=["x:/{id}"]))
    plain, client = world.client(), world.client(capabilities=ASKABLE)
    plain.asks("resources/read", id="p", uri="x:/1")
    client.asks("resources/read", id="r", uri="x:/2")
    world.clock.advance(CALL_PATIENCE + 1)
    plain.leaves()
    world.clock.advance(1)
    reads = [message for server in world.made for message in server.takes()
             if message.get("params", {}).get("uri") == "x:/2"]
    assert len(reads) == 1


def test_calls_wait_for_as_long_as_their_process_waits_for_its_start_or_its_lists():
    names = [f"s{number}" for number in range(40)]
    world = world_of(**{name: offers(tools=["t"]) for name in names})
    client = world.client(capabilities=ASKABLE)
    for name in names:
        world.offers[name]["slow"] = True
        call(client, name, f"{name}__t")
    world.clock.advance(CALL_PATIENCE + 1)
    assert client.gets() == []


def test_a_process_of_which_the_lists_are_unknown_does_not_rest_nor_make_its_server_dynamic():
    world = world_of()
    client = world.client(capabilities=ASKABLE)
    world.offers["a"] = offers(capabilities={"tools": {}})
    world.offers["a"]["lists"].clear()      # it does not answer
    call(client)
    own = world.own("a", client)
    own.says(id=own.take()["id"], error={"code": -32603, "message": "busy"})
    assert not world.pool.tables.servers["a"].lists_by_capabilities


def test_connecting_starts_no_more_processes_than_there_may_be():
    world = World(limit=1, a=offers(tools=["t"]), entries={
        "a": Entry("a", "-", prefix="a__", lists_by_capabilities=True)})
    for number in range(5):
        world.client(capabilities={**ASKABLE, "experimental": {"number": number}})
    assert len(alive(world)) == 2


def test_other_resources_of_the_own_process_are_news():
    world = world_of(a=offers(tools=["t"], resources=["plain:/"]))
    client = world.client(capabilities=ASKABLE)
    client.asks("resources/list")
    client.gets()
    world.offers["a"] = offers(tools=["t"], resources=["by-roots:/"])
    call(client)
    assert {message["method"] for message in client.gets()} == {
        "notifications/tools/list_changed", "notifications/resources/list_changed"}


def test_the_last_process_that_runs_stays_whatever_others_failed():
    world = world_of(shared=True)
    clients = [world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)]
    for client in clients:
        call(client)
    world.clock.advance(PRESSES)
    one, two = [world.own("a", client) for client in clients]
    answer_call(world, one)
    answer_call(world, two)
    world.clock.advance(IDLE_SECONDS - 2)
    world.offers["a"]["initializes"] = "dies"
    one.dies()
    world.clock.advance(3)
    assert alive(world) == [two.label]


def test_nothing_is_kept_of_capabilities_that_no_client_has_any_more():
    world = world_of()
    for number in range(5):
        client = world.client(capabilities={**ASKABLE, "experimental": {"number": number}})
        call(client)
        client.leaves()
    assert world.pool.tables.servers["a"].waiting == {}


def test_a_refusal_keeps_its_data_wherever_a_request_has_waited(monkeypatch):
    def refuses(*_arguments):
        raise Refused(-32042, "not yet", {"see": "the page"})
    world = world_of(a=offers(tools=["t"], resources=["a:/"], slow=True))
    client = world.new_client()
    client.asks("initialize", capabilities=ASKABLE)
    world["a"].answer_initialize()
    client.gets()
    client.sends(method="notifications/initialized")
    for id, ask in enumerate((
            lambda call: world.pool.run(client.session, "a", call, refuses, call),
            lambda call: (monkeypatch.setattr(Upstream, "request", refuses),
                          client.session.upstreams["a"].audience.subscribe(
                              client.session, {"id": call.id, "params": {"uri": "a:/"}}, call)))):
        ask(client.session.calls.open({"id": id, "method": "x"}, client.outbox))
        world.servers[list(world.servers)[-1]].answer_initialize()
        world.clock.advance(1)
        assert client.get() == {"id": id, "error": {
            "code": -32042, "message": "not yet", "data": {"see": "the page"}}}


def test_a_process_that_is_asked_for_a_list_does_not_rest_just_then():
    world = world_of()
    client, upstream = world.client("a"), world.pool.upstreams()["a"][0]
    upstream.catalog.hear("notifications/tools/list_changed")
    del world["a"].offers["lists"]
    client.asks("tools/list")
    asked = world["a"].take()
    world.pool._rest(upstream.use)  # it was not busy when that was decided
    world["a"].says(id=asked["id"], result={"tools": [{"name": "t"}]})
    assert client.get()["result"] == {"tools": [{"name": "t"}]} and alive(world) == ["a"]


def test_hosts_that_can_be_asked_different_things_list_from_one_process_of_each_server_at_once():
    world = world_of(**{name: offers(tools=["t"]) for name in "abcdef"})
    for capabilities in ({}, {"roots": {}}, {"sampling": {}}, {"elicitation": {}}, ASKABLE):
        client = world.client(capabilities=capabilities)    # and no time passes
        client.asks("tools/list")
        assert len(client.get()["result"]["tools"]) == 6
    assert len(world.made) == 6


@pytest.mark.parametrize("shared", [None, False, True])
def test_what_is_in_the_process_of_one_client_is_listed_and_told_to_no_other(shared):
    world = world_of(shared, a=offers(tools=["t"], resources=["a:/"]))
    owner, other = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    other.asks("resources/list")
    other.asks("resources/subscribe", uri="a:/")
    call(owner)
    own = world.own("a", owner)
    own.says(id="r", method="roots/list")   # it knows this client from now on
    own.offers = {**own.offers, "lists": {"resources/list": [{"uri": "a:/page"}]}}
    other.gets()
    own.says(method="notifications/resources/list_changed")
    own.says(method="notifications/resources/updated", params={"uri": "a:/"})
    own.says(method="notifications/resources/updated", params={"uri": "a:/page"})
    assert other.gets() == []
    other.asks("resources/list")
    assert other.get()["result"]["resources"] == [{"uri": "a:/"}]


def test_a_session_that_holds_a_process_does_not_wait_while_that_of_another_starts():
    world = world_of(shared=True)
    one, two = world.client(capabilities=ASKABLE), world.client(capabilities=ASKABLE)
    call(one)
    server = world.own("a", one)
    world.offers["a"] = offers(tools=["t"], slow=True)
    call(two)       # waits for a process that starts
    server.says(id="q", method="elicitation/create", params={})
    call(one, "within")
    assert len([message for message in server.takes()
                if message.get("method") == "tools/call"]) == 2


def test_a_process_that_is_wanted_once_more_just_before_it_begins_begins_once():
    class Busy(World):
        def _connect(self, entry, label):
            if not self.made:   # the first of both begins, and the other is about to
                Client(self).initialize()
            return super()._connect(entry, label)
    world = Busy(a=offers(), b=offers())
    world.clock.advance(5)
    assert [server.label for server in world.made] == ["a", "b"]
    assert not any(server.closing for server in world.made)


def test_a_process_that_comes_back_for_a_request_does_not_rest_before_it_has_answered_that():
    """Its client lists elsewhere by now, so nobody lists from it: it was put to rest and came back
    without end."""
    world = world_of(a=offers(tools=["t"], resources=["a:/"]))
    call(world.client(capabilities=ASKABLE))
    client, other = world.client(capabilities=ASKABLE), world.client()
    before = len(world.made)
    world.offers["a"]["slow"] = True
    client.asks("resources/subscribe", id="s", uri="a:/")
    call(client)
    lister, own = world.made[before:]
    own.answer_initialize()
    other.leaves()
    assert world.made[before:] == [lister, own] and not lister.closing
    lister.answer_initialize()
    subscribe = lister.takes()[-1]
    assert subscribe["method"] == "resources/subscribe" and not lister.closing
    lister.says(id=subscribe["id"], result={})
    assert client.gets()[-1] == {"id": "s", "result": {}}
    assert lister.closed and not own.closing


def test_a_process_that_only_lists_rests_as_soon_as_it_has_answered_for_a_client_that_has_left():
    """A subscription is the server's until it is answered, whoever has left meanwhile."""
    world = world_of(a=offers(tools=["t"], resources=["a://x"]))
    leaves, stays = (world.client(capabilities=ASKABLE) for _ in range(2))
    call(stays)
    leaves.asks("resources/subscribe", uri="a://x")
    subscribe = world["a"].take()
    assert subscribe["method"] == "resources/subscribe" and len(alive(world)) == 2
    world.router.leave(leaves.session)
    assert len(alive(world)) == 2
    world["a"].says(id=subscribe["id"], result={})
    assert alive(world) == [world.own("a", stays).label]
