"""Calls at each moment of the end of an idle process: none is lost, and none runs twice."""

import itertools
import random
import sys
import threading

import pytest

IDLE = 0.00002      # minutes: 1.2 ms, about as long as a process needs to end


@pytest.fixture(autouse=True)
def threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def call_at_random(client, server, seed, failed):
    """Fifty calls, and on a busy machine as many as it takes until the server has rested often."""
    chance, tick, calls = random.Random(seed), threading.Event(), itertools.count()
    while (n := next(calls)) < 50 or len(server.did("start")) <= 5 and n < 5000:
        serial = f"{seed}-{n}"
        answer = client.call(f"{server.name}__echo", serial=serial)
        if answer.get("result", {}).get("serial") != serial:
            failed.append(answer)
        tick.wait(chance.choice([0, 0.003, 0.01, 0.03, 0.06]) * chance.random())


@pytest.mark.parametrize("era, share, capabilities", [
    ("modern", True, {}), ("modern", True, {"elicitation": {}}), ("legacy", True, {}),
    ("modern", False, {"roots": {}}), ("legacy", False, {"roots": {}})])
def test_a_call_at_any_moment_of_the_idle_end_is_answered_once(monkeypatch, quick, start, era,
                                                               share, capabilities):
    """Two hundred calls or more in each case, a thousand together."""
    monkeypatch.setattr("upstreams.rest.idle.SHORTEST", 0.001)
    servers = [quick(name, era, idle=IDLE) for name in "abcd"]
    router, failed = start(*servers, share=share), []
    client = router.client(capabilities)
    threads = [threading.Thread(target=call_at_random, args=(
        client, server, f"{era}{share}{server.name}", failed)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for server in servers:
        serials = [serial for _, serial in server.did("call")]
        assert len(serials) == len(set(serials)) >= 50
        assert len(server.did("start")) > 5, "it hardly ever rested"
