"""subscriptions/listen with real processes, over HTTP and stdio: its ends, and who is too slow."""

import contextlib
import http.client
import json
import signal
import subprocess

from modern_client import META, meta

import by_hand
from by_hand import BOTH, ROUTER
from processes import fake, wait_until

LISTEN, TOOLS = "subscriptions/listen", "notifications/tools/list_changed"
END = {META + "subscriptionId": "L"}


def listen(**notifications):
    return {"id": "L", "method": LISTEN, "params": {
        "notifications": notifications, "_meta": meta({})}}


@contextlib.contextmanager
def listening(running, path="/mcp", **notifications):
    """Yields the HTTP response of the open stream."""
    connection = http.client.HTTPConnection(running.url.split("/")[2], timeout=30)
    connection.request("POST", path, by_hand.lines(listen(**notifications)), {
        "Content-Type": "application/json", "Accept": BOTH, "Mcp-Method": LISTEN,
        "MCP-Protocol-Version": "2026-07-28"})
    with connection.getresponse() as response:
        yield response
    connection.close()


def next_event(response):
    while line := response.readline():
        if line.startswith(b"data:"):
            return json.loads(line[5:])
    return None


def say(running, message, times=1):
    """Let the server say this of its own accord."""
    line = json.dumps({"jsonrpc": "2.0", **message})
    with by_hand.Sse(running.url) as client:
        for id in range(10, 10 + times):
            client.post(by_hand.call(id, "fake__say", line=line))
            while client.get().get("id") != id:
                pass


def sessions(running):
    return json.loads(by_hand.get(running.url + "/health")[1])["sessions"]


def test_over_http_it_ends_with_an_answer_when_the_router_ends(start_router):
    running = start_router({"fake": fake()})
    with listening(running, toolsListChanged=True) as response:
        assert next_event(response)["params"]["notifications"] == {"toolsListChanged": True}
        say(running, {"method": TOOLS})
        assert next_event(response)["method"] == TOOLS
        running.process.send_signal(signal.SIGTERM)
        answer = next_event(response)
        assert answer["id"] == "L" and answer["result"]["_meta"].items() >= END.items()
        assert next_event(response) is None


def test_over_http_hanging_up_ends_it(start_router):
    running = start_router({"fake": fake()})
    with listening(running, toolsListChanged=True) as response:
        next_event(response)
        assert sessions(running) == 1
    assert wait_until(lambda: sessions(running) == 0)


def test_over_http_a_client_that_does_not_read_is_disconnected(start_router):
    running = start_router({"fake": fake()}, "--max-message", "8")
    with listening(running, toolsListChanged=True) as response:
        next_event(response)
        say(running, {"method": TOOLS, "params": {"large": "x" * 4_000_000}}, times=30)
        assert wait_until(lambda: sessions(running) == 0)


def test_over_http_as_many_are_open_as_sessions_may_be(start_router):
    running = start_router({"fake": fake()}, "--max-sessions", "2")
    with listening(running) as one, listening(running) as other, listening(running) as third:
        assert [next_event(each).get("method") for each in (one, other)] == [
            "notifications/subscriptions/acknowledged"] * 2
        assert third.status == 503 and b"--max-sessions" in third.read()


def test_over_stdio_it_ends_with_an_answer_when_a_signal_comes(config):
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake())], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as router:
        router.stdin.write(by_hand.lines(listen(toolsListChanged=True)))
        router.stdin.flush()
        assert json.loads(router.stdout.readline())["params"]["_meta"] == END
        router.send_signal(signal.SIGTERM)
        answer = json.loads(router.stdout.readline())
        assert answer["id"] == "L" and answer["result"]["_meta"].items() >= END.items()
        assert router.stdout.read() == b"" and router.wait(20) == 0


def test_over_stdio_it_ends_with_an_answer_at_the_end_of_the_input(config):
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake())], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as router:
        router.stdin.write(by_hand.lines(listen(toolsListChanged=True)))
        router.stdin.flush()
        assert json.loads(router.stdout.readline())["params"]["_meta"] == END
        router.stdin.close()
        (answer,) = map(json.loads, router.stdout)
        assert answer["id"] == "L" and answer["result"]["_meta"].items() >= END.items()
        assert router.wait(20) == 0
