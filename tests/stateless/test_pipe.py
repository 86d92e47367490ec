"""One pipe, with requests of both eras. In one thread, with played servers."""

import functools

import pytest
from modern_client import FORM, META, ROOTS, PipedClient

from transports.fabric.messages import INVALID_REQUEST, METHOD_NOT_FOUND
from transports.stateless.asked_session import TOGETHER_SECONDS
from upstreams.eras import open_life

import world as worlds
from world import offers

World = functools.partial(worlds.World, open_life=open_life)

SOON = TOGETHER_SECONDS + 0.01
OK = {"content": []}
BOTH = {**FORM, **ROOTS}
ACCEPT = {"action": "accept", "content": {}}
LEGACY = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "test", "version": "1"}}


def world_of(**more):
    return World(share=False, **{name: offers(tools=["t"], capabilities={"logging": {}}, **more)
                                 for name in "ab"})


def piped(world, capabilities=BOTH):
    client = PipedClient(world)
    client.capabilities = capabilities
    return client


def calls(client, server="a", **more):
    return client.asks_modern("tools/call", name=f"{server}__t",
                              capabilities=client.capabilities, **more)


def the_calls(server):
    return [message for message in server.received if message.get("method") == "tools/call"]


def answers(server, number=0):
    message = the_calls(server)[number]
    server.received.remove(message)
    server.says(id=message["id"], result=OK)


def asks(server, id="q"):
    server.says(id=id, method="elicitation/create", params={"message": "Who?"})


def said(server):
    """{id: what the server was answered}."""
    return {message["id"]: message.get("result") or message["error"]["code"]
            for message in server.received if "method" not in message}


def asked(message):
    """(the keys of the questions, the state) of an answer."""
    assert message["result"]["resultType"] == "input_required", message
    return list(message["result"]["inputRequests"]), message["result"]["requestState"]


def came_back(client, message, server="a", **more):
    """The client answers all that the answer asks."""
    keys, state = asked(message)
    return calls(client, server, requestState=state,
                 inputResponses=dict.fromkeys(keys, {"roots": [], **ACCEPT}), **more)


def nothing_is_left(world, client):
    client.says_no_more()
    assert world.router.health()["parkedCalls"] == 0
    world.router.leave(client.session)
    assert world.router.sessions.all() == [] and not world.pool.sessions
    for use in world.pool.tables.uses():
        assert not len(use.upstream.life.calls) and not use.upstream.life.pending.calls()
    return True


def test_a_modern_client_on_a_pipe_has_one_process_of_each_server_for_all_its_requests():
    world = world_of()
    client = piped(world)
    assert world.made == []
    discover = client.asks_modern("server/discover", capabilities=BOTH)
    assert client.get()["id"] == discover
    assert [server.initialize["params"]["capabilities"] for server in world.made] == [BOTH, BOTH]
    for number in range(2):
        id = calls(client)
        answers(world["a"])
        assert client.get() == {"id": id, "result": {"resultType": "complete", **OK, "_meta": {
            f"{META}serverInfo": client_info(world)}}}
    assert len(world.made) == 2 and nothing_is_left(world, client)


def client_info(world):
    return world.router.surface(None).server_info(None)


def test_a_question_on_a_pipe_is_parked_and_the_retry_goes_on():
    world = world_of()
    client = piped(world)
    first = calls(client)
    asks(world["a"])
    world.clock.advance(SOON)
    answer = client.get()
    assert answer["id"] == first and world.router.health()["parkedCalls"] == 1
    retry = came_back(client, answer)
    assert said(world["a"])["q"]["action"] == "accept"
    answers(world["a"])
    assert client.get()["id"] == retry and nothing_is_left(world, client)


def test_a_question_with_several_calls_under_way_is_asked_on_one_and_never_lost():
    world = world_of()
    client = piped(world)
    first, second = calls(client), calls(client)
    asks(world["a"])
    answers(world["a"], 1)      # the second call is answered before its client was asked
    assert client.get()["id"] == second
    world.clock.advance(SOON)
    answer = client.get()
    assert answer["id"] == first
    came_back(client, answer)
    assert said(world["a"])["q"]["action"] == "accept"
    answers(world["a"])
    assert client.get()["result"]["content"] == [] and nothing_is_left(world, client)


def test_a_question_of_no_call_waits_for_one_that_can_carry_it():
    world = world_of()
    client = piped(world)
    client.asks_modern("server/discover", capabilities=BOTH)
    world.clock.advance(3)
    client.gets()
    world["a"].says(id="roots", method="roots/list")
    client.asks_modern("tools/list", capabilities=BOTH)
    world.clock.advance(1)
    assert client.get()["result"]["resultType"] == "complete"
    calls(client)
    assert the_calls(world["a"]) == []      # the answers come before the call
    world.clock.advance(SOON)
    came_back(client, client.get())
    world.clock.advance(SOON)
    assert "roots" in said(world["a"])
    assert [message.get("method") for message in world["a"].received] == [None, "tools/call"]
    answers(world["a"])
    assert client.get()["result"]["content"] == [] and nothing_is_left(world, client)


def test_such_a_question_that_is_withdrawn_holds_no_call_back():
    world = world_of()
    client = piped(world)
    client.asks_modern("server/discover", capabilities=BOTH)
    world.clock.advance(3)
    client.gets()
    world["a"].says(id="roots", method="roots/list")
    calls(client)
    world["a"].says(method="notifications/cancelled", params={"requestId": "roots"})
    world.clock.advance(SOON)
    answers(world["a"])
    assert client.get()["result"]["content"] == [] and nothing_is_left(world, client)


def test_a_call_that_waits_for_its_process_carries_what_that_asks_first():
    world = world_of(slow=True)
    client = piped(world)
    calls(client)
    world["a"].says(id="roots", method="roots/list")
    world["a"].answer_initialize()
    world["b"].answer_initialize()
    world.clock.advance(0.2)
    assert the_calls(world["a"]) == []
    answer = client.get()
    came_back(client, answer)
    assert "roots" in said(world["a"])
    world.clock.advance(1)
    answers(world["a"])
    assert client.get()["result"]["content"] == [] and nothing_is_left(world, client)


def test_what_the_client_cannot_be_asked_is_answered_with_an_error():
    world = world_of()
    client = piped(world, FORM)
    client.asks_modern("server/discover", capabilities=FORM)
    world["a"].says(id="roots", method="roots/list")
    assert said(world["a"]) == {"roots": METHOD_NOT_FOUND}
    calls(client)
    world["a"].says(id="roots2", method="roots/list")
    assert said(world["a"])["roots2"] == METHOD_NOT_FOUND


# -- both eras


def test_a_client_that_was_modern_first_may_become_a_legacy_one():
    """As one that asks server/discover, and is to use another revision."""
    world = world_of()
    client = piped(world)
    client.asks_modern("server/discover", capabilities=BOTH)
    world["a"].says(id="roots", method="roots/list")
    world.clock.advance(3)
    client.gets()
    client.sends(id="init", method="initialize", params={**LEGACY, "capabilities": BOTH})
    world.clock.advance(3)
    assert client.get()["id"] == "init"     # and it is asked nothing before it is initialized
    client.sends(method="notifications/initialized")
    question = client.get()
    assert question["method"] == "roots/list"
    client.sends(id=question["id"], result={"roots": []})
    assert said(world["a"]) == {"roots": {"roots": []}}
    id = client.asks("tools/call", name="a__t")
    asks(world["a"])
    question = client.get()
    assert question["method"] == "elicitation/create"
    client.sends(id=question["id"], result=ACCEPT)
    answers(world["a"])
    assert client.get() == {"id": id, "result": OK}
    assert len(world.made) == 2 and nothing_is_left(world, client)


def test_a_legacy_client_may_send_modern_requests_too():
    world = world_of()
    client = piped(world)
    client.initialize(BOTH)
    modern = calls(client)
    asks(world["a"])
    world.clock.advance(SOON)
    answer = client.get()
    assert answer["id"] == modern
    legacy = client.asks("tools/call", name="b__t")
    asks(world["b"])
    question = client.get()
    assert question["method"] == "elicitation/create"
    client.sends(id=question["id"], result=ACCEPT)
    answers(world["b"])
    assert client.get()["id"] == legacy
    came_back(client, answer)
    assert said(world["a"])["q"]["action"] == "accept"
    answers(world["a"])
    assert client.get()["result"]["resultType"] == "complete" and nothing_is_left(world, client)


@pytest.mark.parametrize("first", ["legacy", "modern"])
def test_an_id_that_is_in_use_is_refused_whatever_its_era(first):
    world = world_of()
    client = piped(world)
    client.initialize(BOTH)
    both = [lambda: client.asks("tools/call", id=7, name="a__t"), lambda: calls(client, id=7)]
    for ask in both if first == "legacy" else reversed(both):
        ask()
    answer = client.get()
    assert answer["id"] == 7 and answer["error"]["code"] == INVALID_REQUEST
    answers(world["a"])
    assert client.get()["id"] == 7 and nothing_is_left(world, client)


def test_the_id_of_a_request_that_was_answered_with_questions_is_free():
    world = world_of()
    client = piped(world)
    calls(client, id="x")
    asks(world["a"])
    world.clock.advance(SOON)
    came_back(client, client.get(), id="x")
    answers(world["a"])
    assert client.get()["id"] == "x" and nothing_is_left(world, client)


# -- cancellation, and the end


def test_a_cancelled_request_is_cancelled_at_its_server_and_never_answered():
    world = world_of()
    client = piped(world)
    id = calls(client)
    (call,) = the_calls(world["a"])
    client.sends(method="notifications/cancelled", params={"requestId": id})
    assert world["a"].received[-1]["params"]["requestId"] == call["id"]
    world["a"].says(id=call["id"], result=OK)
    assert client.gets() == [] and nothing_is_left(world, client)


def test_to_cancel_the_first_request_of_a_parked_call_changes_nothing_and_the_retry_ends_it():
    world = world_of()
    client = piped(world)
    first = calls(client)
    asks(world["a"])
    world.clock.advance(SOON)
    answer = client.get()
    client.sends(method="notifications/cancelled", params={"requestId": first})
    assert world.router.health()["parkedCalls"] == 1
    retry = came_back(client, answer)
    client.sends(method="notifications/cancelled", params={"requestId": retry})
    assert world["a"].received[-1]["method"] == "notifications/cancelled"
    assert client.gets() == [] and nothing_is_left(world, client)


def test_the_end_of_the_input_ends_what_is_parked_and_leaves_what_is_open():
    world = world_of()
    client = piped(world)
    calls(client)
    asks(world["a"])
    world.clock.advance(SOON)
    client.gets()
    open_one = calls(client, "b")
    world["a"].says(id="early", method="roots/list")
    client.says_no_more()
    assert world.router.health()["parkedCalls"] == 0
    assert {"q", "early"} <= said(world["a"]).keys()
    answers(world["b"])
    assert client.get()["id"] == open_one and nothing_is_left(world, client)


def test_a_subscription_ends_with_the_input():
    world = world_of()
    client = piped(world)
    id = client.asks_modern("subscriptions/listen", notifications={"toolsListChanged": True})
    world.clock.advance(1)
    assert client.get()["method"] == "notifications/subscriptions/acknowledged"
    client.says_no_more()
    assert client.get()["id"] == id and len(client.session.calls) == 0
    assert nothing_is_left(world, client)


def test_the_server_of_a_parked_call_dies_and_is_started_again():
    world = world_of()
    client = piped(world)
    calls(client)
    asks(world["a"])
    world.clock.advance(SOON)
    answer = client.get()
    world["a"].dies("exited with status 3")
    came_back(client, answer)
    assert "exited with status 3" in client.get()["error"]["message"]
    world.clock.advance(10)
    calls(client)
    answers(world["a"])
    assert client.get()["result"]["content"] == [] and nothing_is_left(world, client)
