"""The fault table: what a server does wrong, what its caller sees, what others see, what is left.

Every row runs with real processes. Two clients share the server that fails, one calls it; both
use a second, healthy server throughout, and at the end nothing is left of any.
"""

import dataclasses
import http.client
import json
import re
import threading

import pytest

from upstreams.config.entries import Entry

import processes
from by_hand import Sse, call, get, lines
from processes import children, fake, wait_until
from world import World, offers


@dataclasses.dataclass
class Row:
    fault: str                      # a tool of the fake server that does it
    caller: str                     # what the caller's answer says
    config: dict = dataclasses.field(default_factory=dict)
    arguments: dict = dataclasses.field(default_factory=dict)
    comes_back: bool = True         # whether the server is up again afterwards
    restarted: bool = True          # whether that took a new process
    mode: str = ""


QUICK = {"restart": {"pause": 0.1, "attempts": 5}}
TABLE = [
    Row("crash", r'server "bad" is not running: exited with status 7: crashing as told', QUICK),
    Row("crash", r"exited with status 7", {"restart": False}, comes_back=False),
    Row("close_stdout", r'server "bad" is not running: closed its output', QUICK),
    Row("wait", r'server "bad" did not answer within 1 seconds', {"timeout": 1},
        restarted=False),
    Row("flood", r'"text": "None"', arguments={"lines": 20_000}, restarted=False),
    Row("fork", r'"text": "None"', restarted=False),
    Row("say", r'"text": "None"', arguments={"line": "rubbish"}, restarted=False),
    Row("say", r'"text": "None"', arguments={"line": '{"jsonrpc": "2.0", "id": 1e9}'},
        restarted=False),
    Row("crash", r"exited with status 7", QUICK, mode="stubborn"),
    Row("crash", r"exited with status 7", QUICK, mode="family"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.fault} {row.mode} {row.config}")
def test_a_fault_is_the_callers_alone_and_leaves_nothing(start_router, row):
    running = start_router({"bad": {**fake(*[row.mode] if row.mode else []), **row.config},
                            "good": fake()})
    left = children(running.process.pid)
    with Sse(running.url) as caller, Sse(running.url) as other:
        for client in (caller, other):
            client.post({"method": "notifications/initialized"})
            client.post({"id": "list", "method": "tools/list"})
            answer(client, "list")
            client.passed_over.clear()
        pid = health(running)["bad"]["pid"]
        caller.post(call(1, f"bad__{row.fault}", **row.arguments))
        other.post(call(1, "good__echo", text="untouched"))
        assert answer(other, 1)["result"]["content"][0]["text"] == "untouched"
        assert re.search(row.caller, str(answer(caller, 1)).replace("'", '"').replace('\\"', '"'))
        left |= children(running.process.pid)
        if row.comes_back:
            assert wait_until(lambda: health(running)["bad"]["state"] == "running")
        if row.comes_back and row.restarted:
            # Every client that has listed its tools hears that its lists are to be read again.
            for client in (caller, other):
                assert client.until(
                    lambda m: m.get("method", "").endswith("tools/list_changed"))
        for id, client in enumerate((caller, other), 2):
            client.post(call(id, "bad__echo", text="again"))
            again = answer(client, id)
            assert ("result" in again) == row.comes_back, again
        status = health(running)["bad"]
        assert status["restarts"] == (1 if row.restarted and row.comes_back else 0)
        assert (status["pid"] == pid) == (row.comes_back and not row.restarted)
        left |= children(running.process.pid)
    assert running.stop() == 0
    assert wait_until(lambda: not left & set(processes.processes()))
    assert "Traceback" not in "\n".join(running.lines)


def test_a_server_that_stops_reading_holds_up_nobody_else(start_router):
    running = start_router({"bad": {**fake(), "timeout": 1.5}, "good": fake()})
    with Sse(running.url) as client:
        client.post(call(0, "bad__stop_reading"))
        answer(client, 0)
        for id in range(1, 21):  # far more than a pipe holds
            assert client.post(call(id, "bad__echo", text="x" * 100_000))[0] == 202
        client.post(call(99, "good__echo", text="untouched"))
        assert answer(client, 99)["result"]["content"][0]["text"] == "untouched"
        for id in range(1, 21):
            assert "did not answer within 1.5 seconds" in answer(client, id)["error"]["message"]


def test_progress_holds_the_timeout_off(start_router, repository):
    running = start_router({"time": {
        "command": "python3", "args": [str(repository / "upstreams/servers/timekeeper.py")],
        "timeout": 1}})
    with Sse(running.url) as client:
        client.post({"id": 1, "method": "tools/call", "params": {
            "name": "time__wait", "arguments": {"seconds": 3}, "_meta": {"progressToken": 1}}})
        assert "result" in answer(client, 1)
        client.post(call(2, "time__wait", seconds=5))  # no token, no progress
        assert "did not answer" in answer(client, 2)["error"]["message"]


def test_a_server_that_fails_again_and_again_is_left_alone(start_router):
    running = start_router({"dies": {**fake("dies"), "restart": {"attempts": 3, "pause": 0.05}},
                            "good": fake()})
    with Sse(running.url):  # without a client nobody would want it
        running.wait_for('it failed 4 times in a row: it is left alone until its config changes')
        assert health(running)["dies"]["restarts"] == 3
        assert "this server was told to die" in health(running)["dies"]["lastError"]
        assert health(running)["good"]["state"] == "running"


def test_a_restarted_server_is_told_its_level_and_subscriptions_again():
    world = World(a=offers(resources=["x:/"], capabilities={"logging": {}}))
    client = world.client()
    client.asks("logging/setLevel", level="error")
    client.asks("resources/subscribe", uri="x:/")
    client.asks("resources/list")
    for message in world["a"].takes():
        world["a"].says(id=message["id"], result={})
    client.gets()
    world["a"].dies()
    world.clock.advance(2)
    assert [(m["method"], m["params"]) for m in world["a"].takes()] == [
        ("logging/setLevel", {"level": "error"}), ("resources/subscribe", {"uri": "x:/"})]
    assert [m["method"] for m in client.gets()] == ["notifications/resources/list_changed"]
    world["a"].says(method="notifications/resources/updated", params={"uri": "x:/"})
    assert client.get()["method"] == "notifications/resources/updated"


def test_clients_hear_that_the_lists_of_a_server_that_is_left_alone_are_gone():
    world = World(a=offers(tools=["t"]))
    client = world.client()
    client.asks("tools/list")
    client.gets()
    world.offers["a"]["missing"] = True  # it ran once, and cannot be started again
    world["a"].dies()
    world.clock.advance(1 + 2 + 4 + 8)  # and a fifth attempt comes after 16 seconds more
    assert client.gets() == []
    world.clock.advance(16)
    assert client.get()["method"] == "notifications/tools/list_changed"


def test_a_server_whose_command_is_away_for_a_moment_is_started_when_it_is_back():
    world = World(a=offers(tools=["t"]))
    client = world.client()
    world.offers["a"]["missing"] = True
    world["a"].dies()
    world.clock.advance(1 + 2)
    del world.offers["a"]["missing"]
    assert client.session.upstreams["a"].state == "failed"
    world.clock.advance(4)
    assert client.session.upstreams["a"].state == "running"


def test_a_server_that_fails_thousands_of_times_is_started_every_minute():
    world = World(entries={"a": Entry("a", "-", restart_attempts=10_000)}, a=offers())
    client = world.client()
    for _ in range(2000):
        world["a"].dies()
        world.clock.advance(60)
    assert client.session.upstreams["a"].state == "running"
    assert client.session.upstreams["a"].restarts.count == 2000


def test_a_server_that_cannot_be_started_at_all_is_not_tried_again():
    world = World(a=offers(missing=True))
    client = world.client()
    world.clock.advance(600)
    upstream = client.session.upstreams["a"]
    assert upstream.restarts.count == 0 and upstream.restarts.given_up


def test_a_client_that_never_reads_is_closed_and_nobody_else_notices(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as slow, Sse(running.url) as other:
        for id in range(200):  # 200 answers of 1 MB: far more than is kept for anybody
            if slow.post(call(id, "fake__big", bytes=2**20))[0] == 404:
                break
            if id % 20 == 0:
                other.post(call(id, "fake__echo", text=str(id)))
                assert answer(other, id)["result"]["content"][0]["text"] == str(id)
        running.wait_for("session .*: closed, because it is .* behind")
        assert wait_until(lambda: slow.post(call(999, "fake__echo"))[0] == 404)
        other.post(call(1000, "fake__echo", text="still here"))
        assert answer(other, 1000)["result"]["content"][0]["text"] == "still here"


def test_a_client_that_leaves_in_the_middle_of_100_calls_costs_nobody_anything(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as other:
        client = Sse(running.url)
        for id in range(100):
            client.post(call(id, "fake__sleep", seconds=30))
        assert wait_until(lambda: health(running)["fake"]["callsInFlight"] == 100)
        client.close()
        assert wait_until(lambda: health(running)["fake"]["callsInFlight"] == 0)
        other.post(call(1, "fake__echo", text="still here"))
        assert "result" in answer(other, 1)


def test_a_flood_of_10000_requests_is_answered_in_part_and_refused_in_part(start_router):
    running = start_router({"fake": fake()}, "--max-calls", "50")
    with Sse(running.url) as client, Sse(running.url) as other:
        answers = []
        reader = threading.Thread(target=lambda: answers.extend(
            client.get() for _ in range(10_000)))
        reader.start()
        connection = http.client.HTTPConnection(running.url.split("/")[2])
        for id in range(10_000):
            connection.request("POST", client.endpoint, lines(call(id, "fake__echo", text=id)),
                               {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                assert response.status == 202
                response.read()
        connection.close()
        reader.join(60)
        assert len({answer["id"] for answer in answers}) == 10_000
        for one in answers:
            if "result" in one:
                assert one["result"]["content"][0]["text"] == str(one["id"])
            else:
                assert "50 requests of this session wait" in one["error"]["message"]
        other.post(call(1, "fake__echo", text="still here"))
        assert "result" in answer(other, 1)


def test_sessions_beyond_the_limit_are_refused_until_one_ends(start_router):
    running = start_router({"fake": fake()}, "--max-sessions", "3")
    clients = [Sse(running.url) for _ in range(3)]
    refused = Sse(running.url)
    assert refused.response.status == 503 and refused.headers["Retry-After"]
    assert refused.response.read() == (b"There are as many sessions as --max-sessions allows (3), "
                                       b"and all of them are in use.\n")
    refused.close()
    clients.pop().close()
    assert wait_until(lambda: get(f"{running.url}/health")[1].count('"sessions":2'))
    clients.append(Sse(running.url))
    for client in clients:
        client.close()


def test_a_body_of_200_mb_is_refused_before_it_is_read(start_router):
    running = start_router({"fake": fake()})
    connection = http.client.HTTPConnection(running.url.split("/")[2], timeout=60)
    connection.putrequest("POST", "/message?sessionId=x")
    connection.putheader("Content-Length", str(200 * 2**20))
    connection.endheaders(b"x")
    with connection.getresponse() as response:
        assert response.status == 413
    connection.close()


def answer(client, id):
    return client.until(lambda message: message.get("id") == id)


def health(running):
    status, text = get(f"{running.url}/health")
    assert status == 200
    return json.loads(text)["servers"]
