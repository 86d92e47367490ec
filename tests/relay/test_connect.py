"""Remote servers and --connect with real programs: the official server over its own HTTP, a
router behind a router, and a client whose only way to a router is a command."""

import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from scripted import JSON, default, far_server, old_server

from transports.fabric.messages import error

import processes
from by_hand import HELLO, ROUTER, call, lines
from official import TIME, direct, expected_from, over_http, same, travel  # noqa: F401
from processes import ROOT, everything, fake, npm, wait_until

READY = {"method": "notifications/initialized"}


@contextlib.contextmanager
def everything_over_http(mode, path):
    """The official server in one of its HTTP modes; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with subprocess.Popen(
            ["node", str(npm("server-everything") / "dist" / "index.js"), mode],
            env={**os.environ, "PORT": str(port)}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL) as server:
        try:
            assert wait_until(lambda: listens(port))
            yield f"http://127.0.0.1:{port}{path}"
        finally:
            server.kill()


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True


def connected(url, *options):
    return stdio_client(StdioServerParameters(
        command=sys.executable, args=[str(ROOT / "router.py"), "--connect", url,
                                      "--log-level", "error", *options]))


@pytest.mark.parametrize("mode, path", [("streamableHttp", "/mcp"), ("sse", "/sse")])
def test_the_tour_of_a_remote_server_is_that_of_the_same_server_over_stdio(
        start_router, direct, mode, path):  # noqa: F811
    with everything_over_http(mode, path) as url:
        running = start_router({"everything": {"url": url, "listsByCapabilities": True}})
        seen = travel(over_http(running.url + "/mcp/everything"))
        same(unsigned(seen), unsigned(expected_from(direct[True], "")))


def unsigned(seen):
    """Without the session that the server names in some texts: over stdio it has none."""
    return json.loads(re.sub("(from )?session (<varies>|undefined)", "", json.dumps(seen)))


@pytest.mark.parametrize("path, prefix", [("/mcp", "everything__"), ("/mcp/everything", ""),
                                          ("/sse/everything", "")])
def test_connect_passes_the_tour_of_stdio(start_router, direct, path, prefix):  # noqa: F811
    running = start_router({"everything": everything(), "time": TIME})
    same(travel(connected(running.url + path), prefix), expected_from(direct[True], prefix))


def test_a_router_behind_a_router_behind_a_router_gives_the_same(
        start_router, tmp_path, direct):  # noqa: F811
    url = None
    with contextlib.ExitStack() as stack:
        for name in "abc":
            (tmp_path / name).mkdir()
            server = {"url": f"{url}/mcp", "listsByCapabilities": True} if url else everything()
            running = processes.Running(tmp_path / name, {"everything": {**server, "prefix": ""}})
            stack.callback(running.stop)
            url = running.url
        same(travel(over_http(f"{url}/mcp")), expected_from(direct[True], ""))


class Host:
    """A host that knows only how to start a command."""

    def __init__(self, *options, env=None):
        self.process = subprocess.Popen([*ROUTER, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})})

    def __enter__(self):
        return self

    def __exit__(self, *_problem):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def says(self, *messages):
        self.process.stdin.write(lines(*messages))
        self.process.stdin.flush()

    def hears(self, condition):
        """The next message for which that holds."""
        while line := self.process.stdout.readline():
            if condition(message := json.loads(line)):
                return message
        raise AssertionError("the router has ended")

    def asks(self, request):
        self.says(request)
        return self.hears(lambda message: message.get("id") == request["id"])

    def ends(self):
        """Its exit status and what it still said, after the end of its input."""
        said, complained = self.process.communicate(timeout=20)
        assert b"Traceback" not in complained
        return self.process.returncode, [json.loads(line) for line in said.splitlines()]


def sessions(running):
    with urllib.request.urlopen(f"{running.url}/health") as answer:
        return json.load(answer)["sessions"]


def test_at_the_end_of_input_what_is_under_way_is_answered_and_the_session_is_deleted(
        start_router):
    running = start_router({"fake": fake()})
    with Host("--connect", f"{running.url}/mcp/fake") as host:
        host.says(HELLO, READY, call(2, "sleep", seconds=0.5))
        status, said = host.ends()
    assert (status, [message["id"] for message in said]) == (0, [1, 2])
    assert sessions(running) == 0


def test_a_signal_ends_a_relay_and_its_session(start_router):
    running = start_router({"fake": fake()})
    with Host("--connect", f"{running.url}/mcp/fake") as host:
        host.asks(HELLO)
        assert sessions(running) == 1
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(60) == 0
    assert sessions(running) == 0


def test_a_host_goes_on_when_the_router_is_restarted(start_router):
    running = start_router({"fake": fake()})
    port = running.url.rpartition(":")[2]
    with Host("--connect", f"{running.url}/mcp/fake") as host:
        assert "result" in host.asks(HELLO)
        host.says(READY)
        assert "result" in host.asks(call(2, "echo", text="before"))
        running.stop()
        assert "error" in host.asks(call(3, "echo", text="meanwhile"))
        start_router({"fake": fake()}, port=port)
        answers = iter(range(4, 1000))
        assert wait_until(lambda: "result" in host.asks(call(next(answers), "echo", text="after")))
        assert host.ends()[0] == 0


def test_if_nothing_listens_connect_says_how_to_start_a_router(run):
    done = run(*ROUTER, "--connect", "http://127.0.0.1:9/mcp", input=b"")
    assert done.returncode == 1 and done.stdout == b""
    assert b"nothing answers at http://127.0.0.1:9/mcp" in done.stderr
    assert b"start a router there first, with --transport http" in done.stderr


@pytest.mark.parametrize("options, words", [
    (["--connect", "nonsense"], b"its URL must begin with http"),
    (["--connect", "http://127.0.0.1:9/", "--transport", "http"], b"leave out --transport"),
])
def test_what_connect_cannot_do_ends_with_status_2_and_a_sentence(run, options, words):
    done = run(*ROUTER, *options, input=b"")
    assert done.returncode == 2 and words in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("path, token, input_ends, words", [
    ("/mcp", "wrong", False, "needs authorization: answered HTTP 401 Unauthorized "),
    ("/mcp", "wrong", True, "needs authorization: answered HTTP 401 Unauthorized "),
    ("/sse", "wrong", False, "needs authorization: answered HTTP 401 Unauthorized "),
    ("/mcpp", "swordfish", False, "answered HTTP 404 Not Found: There is nothing here. "),
    ("/mcpp", "swordfish", True, "answered HTTP 404 Not Found: There is nothing here. "),
    ("/mcp/nosuch", "swordfish", False, "There is no server 'nosuch' here. There are: fake"),
    ("/x/sse", "swordfish", False, "answered HTTP 404 Not Found: There is nothing here. "),
])
def test_with_a_wrong_token_or_path_connect_ends_with_a_sentence_and_status_1(
        start_router, tmp_path, path, token, input_ends, words):
    (tmp_path / "token").write_text("swordfish")
    (tmp_path / "given").write_text(token)
    running = start_router({"fake": fake()}, "--token-file", str(tmp_path / "token"))
    with Host("--connect", running.url + path, "--token-file", str(tmp_path / "given")) as host:
        host.says(HELLO)
        if input_ends:
            host.process.stdin.close()
        answer = host.hears(lambda message: message["id"] == HELLO["id"])
        assert words in answer["error"]["message"] and ".;" not in answer["error"]["message"]
        assert host.process.wait(20) == 1
        *_, last = host.process.stderr.read().decode().splitlines()
    assert last.startswith(
        f"router.py: no session could be opened at {running.url}{path}: {words}")
    assert last.endswith("; correct the URL, or give the token for it with --token-file")
    assert ".;" not in last


def refuses_new_ones(handler):
    """An old server: it refuses a revision that it does not know, by an error of its own."""
    if handler.message["params"]["protocolVersion"] == "2024-11-05":
        default(handler)
    else:
        handler.sends(200, JSON, json.dumps(error(
            handler.message["id"], -32602, "Unsupported protocol version")))


def test_a_host_may_try_another_revision_after_initialize_was_refused():
    with far_server({"initialize": refuses_new_ones}) as url, Host("--connect", url) as host:
        hello = {"id": 1, "method": "initialize", "params": {**HELLO["params"]}}
        assert host.asks(hello)["error"]["message"] == "Unsupported protocol version"
        hello = {**hello, "id": 2, "params": {**HELLO["params"], "protocolVersion": "2024-11-05"}}
        assert host.asks(hello)["result"]
        assert host.ends()[0] == 0


@pytest.mark.parametrize("first", [
    lambda handler: handler.sends(503, "text/plain", "too many sessions", Retry_After="1"),
    lambda handler: handler.sends(503, "text/plain", "too many sessions"),
    lambda handler: handler.sends(400, "text/plain", "Bad Request")])
def test_a_host_may_try_again_after_a_passing_trouble(first):
    tries = iter([first, first])
    script = {"initialize": lambda handler: next(tries, default)(handler)}
    with far_server(script) as url, Host("--connect", url) as host:
        for id in range(1, 30):
            answer = host.asks({**HELLO, "id": id})
            if "result" in answer:
                break
            time.sleep(0.3)     # as a host does
        assert "result" in answer and host.ends()[0] == 0


def test_a_stream_that_breaks_before_the_host_has_said_anything_is_opened_again():
    breaks, opened = iter(range(5)), queue.SimpleQueue()
    stream, script = old_server()

    def opens(handler):
        opened.put(None)
        if next(breaks, None) is None:
            script["GET"](handler)
        else:
            handler.begins_events()
            handler.wfile.write(b"event: endpoint\ndata: /messages?s=1\n\n")
    with far_server({**script, "GET": opens}) as url, \
            Host("--connect", url.replace("/mcp", "/sse")) as host:
        for _ in range(6):
            opened.get(timeout=20)
        assert host.process.poll() is None
        stream.put(None)


def test_a_key_in_the_path_of_the_url_is_shown_nowhere(tmp_path):
    key, trace = "9f8e7d6c5b4a39281706abcd", tmp_path / "trace.jsonl"
    broken = {"*": lambda handler: handler.sends(500, "text/plain", f"no {handler.path}"),
              "initialize": default}
    with far_server(broken) as url, \
            Host("--connect", f"{url}/{key}", "--trace", str(trace), "--log-level", "debug",
                 ) as host:
        assert "result" in host.asks(HELLO)
        answer = host.asks({"id": 2, "method": "tools/call"})
        assert "answered HTTP 500" in answer["error"]["message"] and key not in str(answer)
        host.process.stdin.close()
        host.process.wait(20)
        assert key not in host.process.stderr.read().decode() + trace.read_text()
    with Host("--connect", f"http://127.0.0.1:9/{key}") as host:
        assert host.process.wait(20) == 1 and key.encode() not in host.process.stderr.read()


def test_connect_sends_the_token_of_the_router_and_shows_it_to_nobody(start_router, tmp_path):
    token = tmp_path / "token"
    token.write_text("swordfish")
    running = start_router({"fake": fake()}, "--token-file", str(token))
    url = f"{running.url}/mcp/fake"
    with Host("--connect", url, "--token-file", str(token), "--log-level", "debug") as host:
        assert "result" in host.asks(HELLO)
        host.process.send_signal(signal.SIGTERM)
        said, complained = host.process.communicate(timeout=20)
        assert host.process.returncode == 0 and b"swordfish" not in said + complained
    with Host("--connect", url, env={"MCP_ROUTER_TOKEN": "wrong"}) as host:
        answer = host.asks(HELLO)
        assert "needs authorization" in answer["error"]["message"]
