"""The whole program: over stdio, at once; over HTTP; and what it says of servers at rest."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
import scripted

from transports.fabric.messages import LATEST

from by_hand import HELLO, ROUTER, Sse, call
from processes import Running, children, wait_until

QUICK = 0.5         # seconds, from the start of the router to the answers to its client's lists
SERVERS = 15
LISTS = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources",
         "resources/templates/list": "resourceTemplates"}


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Where this user's programs remember things, for this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "mcp-local-router" / "memory"


@pytest.fixture
def stdio(tmp_path, state, timekeeper):
    """stdio(more=…) starts a router over stdio, with fifteen servers; returns its process."""
    started = []

    def start(**more):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"start": "first-use", "idle": 0.003, "mcpServers": {
            f"s{n}": {**timekeeper, "args": [*timekeeper["args"], str(n)], **more}
            for n in range(SERVERS)}}))
        started.append(subprocess.Popen(
            [*ROUTER, "--config", str(path)], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]
    yield start
    for router in started:
        router.communicate(timeout=30)
        assert router.returncode == 0


def say(router, message):
    print(json.dumps({"jsonrpc": "2.0", **message}), file=router.stdin, flush=True)


def answer_to(router, id):
    while (answer := json.loads(router.stdout.readline())).get("id") != id:
        pass
    return answer["result"]


def ask(router, message):
    say(router, message)
    return answer_to(router, message["id"])


def lists(router):
    """Without what a server says of how long they are good for: what is remembered has no such."""
    return [ask(router, {"id": method, "method": method})[kind] for method, kind in LISTS.items()]


def servers_of(router):
    """The server processes below it; the guardian is none."""
    return [pid for pid in children(router.pid) if "timekeeper" in command(pid)]


def cpu_seconds(router):
    with open(f"/proc/{router.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


def test_a_client_has_the_lists_of_fifteen_servers_half_a_second_after_the_start(stdio, state):
    first = stdio()
    ask(first, HELLO)
    known = lists(first)
    assert len(known[0]) == 3 * SERVERS
    assert wait_until(lambda: len(list(state.glob("*.memory"))) == SERVERS)
    assert wait_until(lambda: not servers_of(first))    # they were only started to be learned
    begun, router = time.monotonic(), stdio()
    ask(router, HELLO)
    assert lists(router) == known
    # The machine may have other work: then what counts is the time that it had for this.
    assert min(time.monotonic() - begun, cpu_seconds(router)) < QUICK
    assert servers_of(router) == []
    say(router, call(7, "s3__wait", seconds=2))     # after its answer it soon rests
    assert wait_until(lambda: len(servers_of(router)) == 1)
    assert answer_to(router, 7)["content"]
    assert wait_until(lambda: not servers_of(router))
    assert ask(router, call(8, "s3__now"))["content"]


def test_health_and_the_table_say_what_rests_and_what_it_would_cost(start_router, state,
                                                                    timekeeper):
    servers = {"time": {**timekeeper, "start": "first-use", "idle": 0.003}}
    first = start_router(servers)
    assert wait_until(lambda: list(state.glob("*.memory")))
    first.stop()
    running = start_router(servers)
    row = running.wait_for("^time .*")[0].split()
    assert row[1:3] == ["resting", "since"] and "timekeeper" in row
    assert row[4:7] == ["3", "1", "1"]
    before = time.time()
    client = Sse(running.url)
    client.post(call(2, "time__now"))
    assert client.get()["id"] == 2
    assert wait_until(lambda: health(running)["state"] == "resting")
    told = health(running)
    assert before - 1 <= told["restingSince"] <= time.time() + 1 and told["processes"] == []
    assert 0 < told["cost"]["startSeconds"] < 10 and told["revision"] == "2026-07-28"
    if os.path.exists("/proc/self/stat"):
        assert 1 < told["cost"]["megabytes"] < 100
    client.response.close()


def health(running):
    with urllib.request.urlopen(running.url + "/health") as answer:
        return json.load(answer)["servers"]["time"]


def test_a_remote_server_is_reached_at_its_first_use_and_left_when_nobody_needs_it(
        start_router, tmp_path, state, timekeeper):
    (tmp_path / "far").mkdir()
    far = Running(tmp_path / "far", {"time": timekeeper})
    try:
        servers = {"far": {"url": f"{far.url}/mcp/time", "start": "first-use", "idle": 0.003,
                           "protocol": "legacy"}}    # which has sessions to be seen
        first = start_router(servers)
        assert wait_until(lambda: list(state.glob("*.memory")))
        first.stop()
        assert wait_until(lambda: sessions_of(far) == 0)
        running = start_router(servers)
        client = Sse(running.url)
        client.post({"id": 1, "method": "tools/list"})
        assert len(client.get()["result"]["tools"]) == 3 and sessions_of(far) == 0
        client.post(call(2, "far__wait", seconds=2))    # after its answer it soon rests
        assert wait_until(lambda: sessions_of(far) == 1)
        assert client.get()["result"]["content"]
        assert wait_until(lambda: sessions_of(far) == 0)
        client.post(call(3, "far__now"))
        assert client.get()["result"]["content"]
        client.response.close()
    finally:
        far.stop()


def test_a_token_that_a_remote_server_repeats_is_not_in_a_file(start_router, tmp_path, state):
    def lists(handler):
        handler.answers({"tools": [{"name": "t", "inputSchema": {"type": "object"},
                                    "description": handler.headers["Authorization"]}]})
    far = scripted.Server(("127.0.0.1", 0), scripted.Handler)
    far.seen, far.hung_up, far.script = queue.SimpleQueue(), queue.SimpleQueue(), {
        "initialize": lambda handler: handler.answers({
            "protocolVersion": LATEST, "capabilities": {"tools": {}}}), "tools/list": lists}
    thread = threading.Thread(target=far.serve_forever, args=(0.01,))
    thread.start()
    try:
        prints = 'import json; print(json.dumps({"Authorization": "Bearer made-just-now"}))'
        running = start_router({
            "far": {"url": f"http://127.0.0.1:{far.server_port}/mcp", "start": "first-use",
                    "headersCommand": [sys.executable, "-c", prints]},
            "time": {"url": "http://127.0.0.1:1/", "headers": {"X": "handler"}}})
        running.wait_for('"far" is not remembered: what it lists repeats a token of ours')
        running.stop()
        assert list(state.glob("*.memory")) == []
    finally:
        far.shutdown()
        thread.join()
        far.server_close()


def sessions_of(running):
    with urllib.request.urlopen(running.url + "/health") as answer:
        return json.load(answer)["sessions"]


def test_check_starts_everything(check, timekeeper, tmp_path):
    status, text = check({"time": {**timekeeper, "start": "first-use"}},
                         XDG_STATE_HOME=str(tmp_path))
    assert status == 0 and "running" in text and not (tmp_path / "mcp-local-router").exists()


@pytest.mark.parametrize("keys, said", [
    ({"start": "later"}, 'a.start: must be one of "now", "first-use"'),
    ({"idle": "30"}, "a.idle: must be a number of minutes, or false"),
    ({"idle": -1}, "a.idle: must be at least 0"),
    ({"idle": True}, "a.idle: must be a number of minutes")])
def test_a_wrong_word_is_refused(run, config, keys, said):
    done = run(*ROUTER, "--check", "--config", config(a={"command": "x", **keys}))
    assert done.returncode == 1 and said in done.stdout.decode()
