"""A person starts a server again, or stops it: upstreams/reload/by_hand.py."""

import pytest

from upstreams.config.entries import Config, Entry
from upstreams.reload.by_hand import ByHand
from upstreams.reload.reload import reload
from upstreams.server.life import FAILED, RUNNING

from world import World, offers

ASKABLE = {"roots": {}}
TOOLS_CHANGED = {"method": "notifications/tools/list_changed"}


def entry(name, **more):
    return Entry(name, "-", prefix=f"{name}__", **more)


def world_of(*names, **more):
    world = World(entries={name: entry(name, **more) for name in names}, **{
        name: offers(tools=["t"]) for name in names})
    world.by_hand = ByHand(world.router, lambda function, name: function(name))
    return world


def call(client, name="a__t"):
    client.sends(id="c", method="tools/call", params={"name": name})


def state(world, name="a"):
    return [upstream.state for upstream in world.pool.upstreams()[name]]


def test_a_server_that_is_started_again_has_a_new_process_and_its_calls_fail_with_the_reason():
    world = world_of("a", "b")
    client = world.client()
    client.asks("tools/list")
    call(client)
    client.gets()
    before, other = world["a"], world["b"]
    world.by_hand.act("restart", "a")
    answer, told = client.gets()
    assert answer["error"]["message"] == (
        'server "a" is not running: it is started again, as somebody has asked on the page')
    assert told == TOOLS_CHANGED
    assert before.closed and world["a"] is not before and state(world) == [RUNNING]
    assert world["b"] is other and not other.closed
    call(client)
    world["a"].says(id=world["a"].take()["id"], result={"content": []})
    assert client.get()["result"] == {"content": []}


def test_the_own_process_of_a_client_is_started_again_with_its_next_call():
    world = world_of("a")
    client = world.client(capabilities=ASKABLE)
    call(client)
    before = world.own("a", client)
    world.by_hand.act("restart", "a")
    assert before.closed
    call(client)
    assert world.own("a", client) is not before and not world.own("a", client).closed


def test_a_server_that_was_given_up_is_started_again():
    world = world_of("a", restart_attempts=0)
    world["a"].dies()
    assert state(world) == [FAILED]
    world.by_hand.act("restart", "a")
    assert state(world) == [RUNNING]


def test_a_server_that_is_stopped_stays_so_whoever_comes_until_it_is_started():
    world = world_of("a", "b")
    client = world.client()
    world.by_hand.act("stop", "a")
    world.by_hand.act("stop", "a")
    assert world.by_hand.is_stopped("a") and not world.by_hand.is_stopped("b")
    assert world["a"].closed and state(world) == [FAILED]
    another = world.client(capabilities=ASKABLE)
    world.clock.advance(600)
    assert all(server.closed for server in world.made if server.label.startswith("a"))
    for each in client, another:
        each.gets()
        call(each)
        assert "was stopped on the page" in each.get()["error"]["message"] or each.gets()
    world.by_hand.act("restart", "a")
    assert not world.by_hand.is_stopped("a") and RUNNING in state(world)


def test_the_next_change_of_the_config_starts_what_was_stopped():
    world = world_of("a")
    world.by_hand.act("stop", "a")
    reload(world.router, Config({name: entry(name) for name in ("a",)}, {}))
    assert state(world) == [RUNNING] and not world.by_hand.is_stopped("a")


@pytest.mark.parametrize("action, name, words", [
    ("stop", "nosuch", 'there is no server "nosuch" any more'),
    ("explode", "a", "nobody can explode a server here"),
    ("restart", "wrong", "its entry must be mended first: no command")])
def test_what_cannot_be_done_is_refused(action, name, words):
    world = World(entries={"a": entry("a"), "wrong": Entry("wrong", problem="no command")},
                  a=offers(), wrong=offers())
    with pytest.raises(ValueError, match=words):
        ByHand(world.router, None).act(action, name)


def test_what_has_gone_or_become_wrong_before_its_turn_came_is_left_alone():
    waiting = []
    world = world_of("a", "b")
    by_hand = ByHand(world.router, lambda *act: waiting.append(act))
    by_hand.act("stop", "a")
    by_hand.act("restart", "b")
    with world.pool.lock:
        world.pool.replace({"b": Entry("b", problem="wrong")})
    for function, name in waiting:
        function(name)
    assert world.pool.entries == {"b": Entry("b", problem="wrong")}
