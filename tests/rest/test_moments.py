"""Moments that are hard to meet: whole routers in one thread, with modern servers."""

import pytest

from upstreams.eras import open_life

from world import World, offers, resting_meanwhile

WANTED = "resources/subscribe"


@pytest.fixture
def world():
    return World(open_life=open_life, a=offers(
        tools=["t"], resources=["a:/"], era="modern", listens=True,
        capabilities={"resources": {"subscribe": True}}))


def subscribed(server):
    """The URIs that the last subscription of this process names."""
    listens = [message["params"]["notifications"] for message in server.received
               if message["method"] == "subscriptions/listen"]
    return listens[-1].get("resourceSubscriptions", [])


@pytest.mark.parametrize("sent", [True, False])
def test_a_subscription_that_comes_at_the_moment_of_the_end_is_made_with_the_next_process(
        world, sent):
    """It was sent to the process already, which has not answered; or it was not."""
    client, upstream = world.client("a"), world.pool.upstreams()["a"][0]
    before = world["a"]
    before.acknowledges = lambda message: None
    if sent:
        client.asks(WANTED, id="s", uri="a:/")
        assert subscribed(before) == ["a:/"] and client.gets() == []
        life = upstream.rest()
        assert life is not None
    else:
        resting_meanwhile(upstream, lambda: client.asks(WANTED, id="s", uri="a:/"))
    world.pool.changed()
    assert client.get() == {"id": "s", "result": {}}
    assert world["a"] is not before and subscribed(world["a"]) == ["a:/"]


def test_what_is_tired_comes_back_for_a_subscription_that_was_made_just_before_its_end(world):
    client, use = world.client("a"), world.pool.upstreams()["a"][0].use
    before, rest, use.tired = world["a"], use.upstream.rest, True

    def rest_a_little_later():
        client.asks(WANTED, id="s", uri="a:/")
        assert client.get() == {"id": "s", "result": {}}
        return rest()
    use.upstream.rest = rest_a_little_later
    world.pool.changed()
    world.clock.advance(1)
    assert world["a"] is not before and subscribed(world["a"]) == ["a:/"]


def test_a_call_between_two_of_its_rounds_goes_on_with_the_next_process(world):
    client = world.client("a")
    client.asks("tools/call", id="c", name="t")
    before = world["a"]
    before.says(id=before.takes()[-1]["id"], result={
        "resultType": "input_required", "requestState": "s"})
    world.pool.upstreams()["a"][0].rest()
    world.clock.advance(1)
    asked = world["a"].takes()[-1]
    assert world["a"] is not before and asked["params"]["requestState"] == "s"
    world["a"].says(id=asked["id"], result={"content": []})
    assert client.gets()[-1] == {"id": "c", "result": {"content": []}}
