"""Modern servers ask by their answers, and have states of their own: these go back to the server
that gave them, and are shown to no other. In one thread, with played servers."""

import functools

import pytest
from modern_client import FORM, META, ModernClient, PipedClient, stateless_of

from transports.fabric.messages import INVALID_PARAMS
from upstreams.eras import open_life

import world as worlds
from world import entry, offers

World = functools.partial(worlds.World, open_life=open_life)

ASKS = {"resultType": "input_required", "requestState": "mine",
        "inputRequests": {"who": {"method": "elicitation/create", "params": {"message": "Who?"}}}}
GIVEN = {"who": {"action": "accept", "content": {"name": "Ada"}}}
NOT_FOUND = {"code": -32602, "message": "not found"}
URI = "any:/thing"


def world_of(**more):
    return World(entries={name: entry(name) for name in "abc"}, **more, **{
        name: offers(tools=["t"], prompts=["p"], resources=[f"{name}:/"], era="modern")
        for name in "abc"})


def reads(client, uri=URI, **more):
    return client.asks("resources/read", uri=uri, **more)


def takes(server):
    """The one request that the server was sent."""
    (message,) = [each for each in server.takes() if each["method"] != "subscriptions/listen"]
    return message


def has_got(world):
    """{server: how many requests it has got}."""
    return {name: sum(message["method"] == "resources/read" for message in world[name].received)
            for name in "abc"}


def asked_by(world, name, exchange, result=ASKS):
    """Those before this server do not know the URI; this one asks. Returns its state, ours."""
    for other in "abc":
        message = takes(world[other])
        if other == name:
            world[other].says(id=message["id"], result=result)
            break
        world[other].says(id=message["id"], error=NOT_FOUND)
    return exchange.is_asked()[1]


@pytest.mark.parametrize("request_", [{"method": "tools/call", "name": "a__t"},
                                      {"method": "prompts/get", "name": "a__p"}])
def test_what_names_its_server_passes_as_it_is(request_):
    world = world_of()
    client = ModernClient(stateless_of(world), None, FORM)
    exchange = client.asks(**request_)
    message = takes(world["a"])
    assert message["params"]["_meta"][f"{META}clientCapabilities"] == FORM
    world["a"].says(id=message["id"], result=ASKS)
    assert exchange.answer == ASKS
    retry = client.asks(**request_, requestState="mine", inputResponses=GIVEN)
    message = takes(world["a"])
    assert (message["params"]["requestState"], message["params"]["inputResponses"]) == (
        "mine", GIVEN)
    world["a"].says(id=message["id"], result={"resultType": "complete", "content": []})
    assert retry.answer["resultType"] == "complete"
    assert world.router.health()["parkedCalls"] == 0 and world.router.sessions.all() == []


@pytest.mark.parametrize("name", "abc")
def test_a_retry_for_a_uri_that_no_list_has_reaches_the_server_that_asked_and_no_other(name):
    world = world_of()
    client = ModernClient(stateless_of(world), None, FORM)
    state = asked_by(world, name, reads(client))
    retry = reads(client, requestState=state, inputResponses=GIVEN)
    message = takes(world[name])
    assert message["params"]["requestState"] == "mine"
    assert message["params"]["inputResponses"] == GIVEN
    assert has_got(world) == dict.fromkeys("abc", 0)
    world[name].says(id=message["id"], result={**ASKS, "requestState": "second"})
    state = retry.is_asked()[1]
    last = reads(client, requestState=state, inputResponses=GIVEN)
    message = takes(world[name])
    assert message["params"]["requestState"] == "second"
    world[name].says(id=message["id"], error=NOT_FOUND)     # and then nobody else is asked
    assert last.answer["code"] == INVALID_PARAMS
    assert has_got(world) == dict.fromkeys("abc", 0) and world.router.sessions.all() == []


def test_a_server_that_gives_no_state_gets_none():
    world = world_of()
    client = ModernClient(stateless_of(world), None, FORM)
    state = asked_by(world, "b", reads(client), {
        key: ASKS[key] for key in ("resultType", "inputRequests")})
    reads(client, requestState=state, inputResponses=GIVEN)
    params = takes(world["b"])["params"]
    assert "requestState" not in params and params["inputResponses"] == GIVEN


@pytest.mark.parametrize("state", ["mine", 7, None, [], "mcp-local-router/server:", *(
    f"mcp-local-router/server:{text}" for text in (
        '["z","mine"]', "[", '["a"]', '{"a":1,"b":2}', '[7,"mine"]', '["__class__","x"]'))])
def test_a_state_that_was_not_given_out_here_is_shown_to_nobody(state):
    world = world_of()
    client = ModernClient(stateless_of(world), None, FORM)
    exchange = reads(client, requestState=state, inputResponses=GIVEN)
    assert exchange.answer["code"] == INVALID_PARAMS
    assert has_got(world) == dict.fromkeys("abc", 0) and world.router.sessions.all() == []


def test_answers_without_a_state_are_shown_to_nobody_that_has_not_asked():
    world = world_of()
    client = ModernClient(stateless_of(world), None, FORM)
    reads(client, inputResponses=GIVEN)
    assert "inputResponses" not in takes(world["a"])["params"]


def test_on_a_single_server_a_state_passes_as_it_is():
    world = world_of()
    client = ModernClient(stateless_of(world), "b", FORM)
    exchange = reads(client)
    world["b"].says(id=takes(world["b"])["id"], result=ASKS)
    assert exchange.is_asked()[1] == "mine"
    reads(client, requestState="mine", inputResponses=GIVEN)
    assert takes(world["b"])["params"]["requestState"] == "mine"


def test_a_server_of_a_state_that_is_in_the_config_no_more_is_said_so():
    world = world_of()
    client = ModernClient(stateless_of(world), None, FORM)
    state = asked_by(world, "c", reads(client))
    world.router.set_groups({"two": ["a", "b"]})
    other = ModernClient(stateless_of(world), "two", FORM)
    assert 'no server "c"' in reads(other, requestState=state).answer["message"]


def test_the_same_on_a_pipe():
    world = world_of(share=False)
    client = PipedClient(world)
    client.asks_modern("resources/read", capabilities=FORM, uri=URI)
    world["a"].says(id=takes(world["a"])["id"], error=NOT_FOUND)
    world["b"].says(id=takes(world["b"])["id"], result=ASKS)
    state = client.get()["result"]["requestState"]
    client.asks_modern("resources/read", capabilities=FORM, uri=URI, requestState=state,
                       inputResponses=GIVEN)
    assert takes(world["b"])["params"]["requestState"] == "mine"
    assert has_got(world) == dict.fromkeys("abc", 0)
