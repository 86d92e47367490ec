"""What a call costs the pool, beside how much there is: counted in lines of upstreams/sharing that
run, so that no other load on the machine matters."""

import functools
import sys
from pathlib import Path

import pytest

import upstreams.sharing
from upstreams.config.entries import Entry

from world import World, offers

ASKABLE = {"roots": {"listChanged": True}, "elicitation": {}}
FOLDER = str(Path(upstreams.sharing.__file__).parent)


def lines_of(function):
    """How many lines of upstreams/sharing run in this function()."""
    count = 0

    def trace(frame, event, _argument):
        nonlocal count
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def crowd(clients, limit, servers=1):
    """A world in which each of the clients calls each of the servers, all of which take turns: as
    many calls run as there may be processes, and the others wait."""
    names = [f"s{number}" for number in range(servers)]
    world = World(limit=limit, entries={
        name: Entry(name, "-", prefix=f"{name}__", shared=True) for name in names},
        **{name: offers(tools=["t"]) for name in names})
    for client in [world.client(capabilities=ASKABLE) for _ in range(clients)]:
        for name in names:
            call(client, name)
        world.clock.advance(1)
    return world


def call(client, name):
    client.sends(id=name, method="tools/call", params={"name": f"{name}__t"})


def finish(world):
    """A call that runs is answered; its session has no other."""
    for server in world.servers.values():
        for message in server.takes():
            if message.get("method") == "tools/call":
                server.says(id=message["id"], result={})
                return True
    return False


def costs(world):
    """Of a call that comes, and of one that is answered."""
    client = world.client(capabilities=ASKABLE)
    return (lines_of(lambda: call(client, "s0")), lines_of(functools.partial(finish, world)))


@pytest.mark.parametrize("limit", [0, 5])
def test_a_call_costs_the_same_however_many_wait(limit):
    few, many = costs(crowd(10, limit)), costs(crowd(400, limit))
    assert many[0] <= 1.1 * few[0] and many[1] <= 1.1 * few[1], (few, many)


def test_with_more_servers_for_which_calls_wait_a_call_costs_no_more_than_in_proportion():
    few, many = costs(crowd(3, 0, servers=5)), costs(crowd(3, 0, servers=50))
    assert many[0] <= 12 * few[0] and many[1] <= 12 * few[1], (few, many)


def test_with_more_processes_a_call_costs_no_more_than_in_proportion():
    few, many = (costs(crowd(limit, limit, servers=2)) for limit in (10, 100))
    assert many[0] <= 12 * few[0] and many[1] <= 12 * few[1], (few, many)


def test_what_makes_way_is_chosen_in_proportion_to_the_processes():
    def cost(processes):
        """Of a call with other capabilities than those of all these processes, which are free."""
        world = crowd(processes + 5, processes)
        while finish(world):
            pass
        other = world.client(capabilities={"sampling": {}})
        return lines_of(lambda: call(other, "s0"))
    few, many = cost(10), cost(100)
    assert many <= 12 * few, (few, many)
