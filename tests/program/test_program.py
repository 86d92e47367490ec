"""The program as people start it: its options, stdio, HTTP, bad input, its end."""

import ast
import json
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import docopt
import pytest

from transports.program import options as options_module
from transports.program.options import Limits, read_options

import processes
from by_hand import HELLO, ROUTER, Sse, call, get, lines
from processes import children, fake, wait_until


@pytest.fixture
def stdio(run, config):
    """stdio(*messages, servers={…}) runs a whole session; returns the answers by id."""
    def talk(*messages, servers=None, status=0, options=()):
        done = run(*ROUTER, "--config", config(**(servers or {"fake": fake()})), *options,
                   input=lines(*messages))
        assert done.returncode == status, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return {answer.get("id"): answer for answer in answers}
    return talk


# -- the command line


def test_help_is_the_docstring_and_version_is_a_version(run):
    assert b"--transport NAME" in run(*ROUTER, "--help").stdout
    assert re.fullmatch(rb"\d+\.\d+\.\d+\n", run(*ROUTER, "--version").stdout)


@pytest.mark.parametrize("options, words", [
    (["--transport", "pigeon"], b"--transport is one of sse, http, stdio"),
    (["--port", "x"], b"--port is a number from 0 to 65535"),
    (["--port", "65536"], b"--port is a number from 0 to 65535"),
    (["--log-level", "loud"], b"--log-level is one of"),
    (["--nonsense"], b"there is no option --nonsense"),
    (["--config", "no-such-file.json"], b"no-such-file.json: there is no such file"),
    (["--config", "."], b"is a directory"),
])
def test_a_wrong_command_or_config_ends_with_status_2_and_a_sentence(run, options, words):
    done = run(*ROUTER, *options)
    assert done.returncode == 2
    assert words in done.stderr and b"Traceback" not in done.stderr and done.stdout == b""


def test_check_tells_how_every_server_is_and_fails_if_one_does(run, config):
    done = run(*ROUTER, "--check", "--config", config(
        good=fake(), missing={"command": "no-such-command"}, dies=fake("dies"),
        silent={**fake("silent"), "startTimeout": 1}))
    assert done.returncode == 1
    text = done.stdout.decode()
    assert re.search(r"good +running +11 .* 2025-11-25 +by the client +fake 1", text)
    assert 'missing: the command "no-such-command" was not found' in text
    assert "dies: exited with status 1: this server was told to die" in text
    assert "silent: did not answer within 1 seconds" in text
    assert run(*ROUTER, "--check", "--config", config(good=fake())).returncode == 0


def test_check_tells_of_a_server_that_is_not_shared_as_well(run, config):
    done = run(*ROUTER, "--check", "--config", config(
        missing={"command": "no-such-command", "shared": False}))
    assert done.returncode == 1
    assert re.search(rb"missing +failed", done.stdout)


def test_a_limit_of_files_that_cannot_be_raised_does_not_stop_the_start(monkeypatch, caplog):
    def refuse(which, limits):
        raise ValueError("not allowed to raise maximum limit")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert Limits().make_room_for_connections() == 128
    assert "no more than 256 files can be open" in caplog.text


def test_where_files_have_no_limit_there_are_as_many_connections_as_select_takes(monkeypatch):
    monkeypatch.setattr(options_module, "resource", None)
    assert Limits().make_room_for_connections() == 500      # of the 512 of Windows
    assert Limits(sessions=50).make_room_for_connections() == 300


def test_a_port_that_is_taken_is_a_sentence_and_status_1(run, config):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(*ROUTER, "--config", config(fake=fake()), "--transport", "sse",
                   "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert b"cannot listen on 127.0.0.1" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "no-such-host.invalid"])
def test_a_host_that_is_none_is_a_sentence_and_status_1(run, config, host):
    done = run(*ROUTER, "--config", config(fake=fake()), "--transport", "sse", "--insecure",
               "--host", host)
    assert done.returncode == 1
    assert f"cannot listen on {host}".encode() in done.stderr and b"Traceback" not in done.stderr


def test_a_signal_while_servers_are_started_leaves_none_of_them(start_router):
    first = {"command": "sh", "args": ["-c", "kill -TERM $PPID; cat"]}
    for _ in range(3):
        running = start_router({"first": first, **{f"fake{n}": fake() for n in range(8)}},
                               ready=False)
        assert running.process.wait(20) == 0
        assert running.stop() == 0 and "Traceback" not in "\n".join(running.lines)


# -- stdio


def test_a_script_gets_every_answer_before_the_end(stdio):
    answers = stdio(HELLO, {"method": "notifications/initialized"},
                    {"id": 2, "method": "tools/list"},
                    call(3, "fake__sleep", seconds=0.5, text="slept"),
                    call("4", "fake__echo", text=1))
    assert answers[1]["result"]["serverInfo"]["name"] == "mcp-local-router"
    assert len(answers[2]["result"]["tools"]) == 11
    assert answers[3]["result"]["content"][0]["text"] == "slept"
    assert answers["4"]["result"]["content"][0]["text"] == "1"


def test_bad_lines_get_an_answer_and_the_session_lives_on(stdio):
    answers = stdio(b"rubbish\n", HELLO, b'{"a":1}\n', b"\n", b"[]\n", b"\xff\n",
                    call(2, "fake__echo", text="x" * 5 * 2**20), call(3, "nosuch"))
    assert answers[None]["error"]["code"] in (-32700, -32600)
    assert len(answers[2]["result"]["content"][0]["text"]) == 5 * 2**20
    assert answers[3]["error"]["code"] == -32602


def test_a_line_of_a_server_may_have_5_mb(stdio):
    answers = stdio(HELLO, call(2, "fake__big", bytes=5 * 2**20))
    assert len(answers[2]["result"]["content"][0]["text"]) == 5 * 2**20


def test_an_empty_input_is_a_clean_end(stdio):
    assert stdio() == {}


def test_one_broken_server_leaves_the_others_to_work(stdio):
    answers = stdio(HELLO, call(2, "fake__echo", text="fine"), call(3, "dies__echo"),
                    servers={"dies": fake("dies"), "fake": fake("rubbish"),
                             "missing": {"command": "no-such-command"}})
    assert answers[2]["result"]["content"][0]["text"] == "fine"
    assert 'server "dies" is not running: exited with status 1' in answers[3]["error"]["message"]


def test_a_question_at_the_end_of_input_is_refused_so_that_the_call_can_end(stdio):
    hello = {**HELLO, "params": {**HELLO["params"], "capabilities": {"roots": {}}}}
    answers = stdio(hello, {"method": "notifications/initialized"},
                    call(2, "fake__ask", method="roots/list"))
    assert "result" in answers[2]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_clean_end_of_stdio_too(config, how):
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake())], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as router:
        router.stdin.write(lines(HELLO))
        router.stdin.flush()
        assert b"mcp-local-router" in router.stdout.readline()
        router.send_signal(how)
        assert router.wait(20) == 0


TELLS = """
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "tells", "version": "1"}}}), flush=True)
time.sleep(0.7)  # what a clean end may take
open(sys.argv[1], "w").close()
"""


@pytest.mark.parametrize("how", ["our output is closed, then a signal",
                                 "our input ends, then a signal"])
def test_a_host_that_ends_in_two_ways_at_once_gets_one_clean_end(config, tmp_path, how):
    told = tmp_path / "told"
    with subprocess.Popen(
            [*ROUTER, "--config", config(tells={"command": sys.executable,
                                                "args": ["-c", TELLS, str(told)]})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as router:
        router.stdin.write(lines(HELLO, call(2, "tells__never")))
        router.stdin.flush()
        assert b"mcp-local-router" in router.stdout.readline()
        if "output" in how:
            router.stdout.close()
        else:
            router.stdin.write(lines({"method": "notifications/cancelled",
                                      "params": {"requestId": 2}}))
            router.stdin.close()
            assert wait_until(lambda: len(children(router.pid)) == 2)  # it has not ended
        router.send_signal(signal.SIGTERM)
        assert router.wait(20) == 0
        assert told.exists() and b"Traceback" not in router.stderr.read()


def test_a_client_that_closes_our_output_ends_us(config):
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake())], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as router:
        router.stdout.close()
        router.stdin.write(lines(HELLO))
        router.stdin.flush()
        assert router.wait(20) == 0


# -- HTTP+SSE


def test_the_start_tells_each_server_and_the_urls(start_router):
    running = start_router({"one": fake(), "two": fake("dies")})
    text = "\n".join(running.lines)
    assert re.search(r"^one +running +11 .*fake 1\ntwo +failed\nall together: ", text, re.M)
    assert re.search(rf"together: {running.url}(/mcp or )?/sse; one server: .*/sse/NAME\n", text)
    assert text.count("exited with status 1: this server was told to die") == 1
    assert re.search(r"\[one-reader\] server \"one\" is running", text)


def test_a_session_over_sse(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as client, Sse(running.url, "/sse/fake") as single:
        assert client.headers["Content-Type"].startswith("text/event-stream")
        assert client.headers["X-Accel-Buffering"] == "no"
        assert re.fullmatch(r"/message\?sessionId=[\w-]{30,}", client.endpoint)
        assert client.endpoint != single.endpoint
        assert single.hello["result"]["serverInfo"] == {"name": "fake", "version": "1"}
        client.post(call(7, "fake__echo", text="all"))
        single.post(call(7, "echo", text="one"))
        assert client.get()["result"]["content"][0]["text"] == "all"
        assert single.get()["result"]["content"][0]["text"] == "one"


def test_two_clients_with_equal_ids_never_meet(start_router):
    running = start_router({"fake": fake(), "other": fake()})
    with Sse(running.url) as one, Sse(running.url) as two:
        for n in range(50):
            one.post(call(n, "fake__echo", text=f"one {n}"))
            two.post(call(n, "other__echo", text=f"two {n}"))
        for name, client in (("one", one), ("two", two)):
            answers = [client.get() for _ in range(50)]
            assert {answer["id"]: answer["result"]["content"][0]["text"] for answer in answers} \
                == {n: f"{name} {n}" for n in range(50)}


def test_bad_http_gets_a_clear_answer_and_the_session_lives_on(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as client:
        assert client.post(b"rubbish")[0] == 400
        status, body = client.post(b"{}")
        assert status == 400 and json.loads(body)["error"]["code"] == -32600
        assert json.loads(body)["id"] is None
        assert client.post(b"")[0] == 400
        assert client.post(lines(HELLO), **{"Content-Type": "text/plain"})[0] == 415
        assert client.post(call(2, "fake__echo", text="x" * 5 * 2**20))[0] == 202
        assert len(client.get()["result"]["content"][0]["text"]) == 5 * 2**20
        client.post({"id": 3, "method": "tools/call", "params": 5})
        assert client.get()["error"]["code"] == -32602
    status, text = get(f"{running.url}/sse/nosuch")
    assert status == 404 and "There are: fake" in text
    status, text = get(f"{running.url}/nothing")
    assert status == 404 and "/sse/fake" in text
    assert get(f"{running.url}/message")[0] == 405
    request = urllib.request.Request(f"{running.url}/message?sessionId=gone", b"{}",
                                     {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 404
    refused.value.close()


def test_a_session_ends_with_its_stream_and_its_own_processes_with_it(start_router):
    running = start_router({"fake": fake()})
    hello = {**HELLO, "params": {**HELLO["params"], "capabilities": {"roots": {}}}}
    client = Sse(running.url, hello=False)
    client.post(hello)
    assert client.get()["id"] == 1
    client.post({"method": "notifications/initialized"})
    client.post(call(2, "fake__echo", text="hi"))
    assert client.get()["id"] == 2
    # The guardian and its own; the one that lists has made way.
    assert len(children(running.process.pid)) == 2
    client.close()
    assert wait_until(lambda: len(children(running.process.pid)) == 1)
    assert wait_until(lambda: client.post(call(2, "fake__echo"))[0] == 404)


def test_a_post_is_never_blocked_by_open_streams(start_router):
    running = start_router({"fake": fake()})
    clients = [Sse(running.url) for _ in range(40)]
    for client in clients:
        client.post(call(1, "fake__echo", text="here"))
    assert all(client.get()["result"]["content"][0]["text"] == "here" for client in clients)
    for client in clients:
        client.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_clean_and_quick_with_streams_open(start_router, how):
    running = start_router({"fake": fake()})
    with Sse(running.url) as client:
        left = children(running.process.pid)
        assert running.stop(how, seconds=5) == 0
        assert client.response.read() == b""  # the stream was ended, not cut
    assert "told to end by a signal" in "\n".join(running.lines)
    assert not left & set(processes.processes())
    assert "Traceback" not in "\n".join(running.lines)


def test_a_second_signal_ends_everything_at_once(start_router):
    running = start_router({"stubborn": fake("stubborn")})
    left = children(running.process.pid)
    running.process.send_signal(signal.SIGINT)
    tick = threading.Event()
    while running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        tick.wait(0.05)
    assert running.process.returncode == 130
    assert wait_until(lambda: not left & set(processes.processes()))


def test_a_slow_server_delays_nobody_and_its_arrival_is_news(start_router, tmp_path):
    gate = tmp_path / "gate"
    slow = {"command": "sh", "args": ["-c", f"until [ -e {gate} ]; do sleep 0.05; done; exec "
                                      + " ".join(processes.FAKE_SERVER)]}
    running = start_router({"slow": slow, "fake": fake()}, "--list-wait", "1", ready=False)
    with Sse(running.url) as client:  # initialize waits a few seconds for it
        client.post({"method": "notifications/initialized"})
        client.post({"id": 2, "method": "tools/list"})
        assert len(client.get()["result"]["tools"]) == 11
        gate.touch()
        assert client.get()["method"] == "notifications/tools/list_changed"
        client.post({"id": 3, "method": "tools/list"})
        assert len(client.get()["result"]["tools"]) == 22


@pytest.mark.parametrize("command, seconds", [
    ([], 20), (["--transport", "sse"], 8), (["--transport", "http"], 8),
    (["--transport", "sse", "--list-wait", "0"], 0), (["--list-wait", "30"], 30)])
def test_a_first_list_waits_longer_where_hosts_hear_less_of_changes(repository, command, seconds):
    usage = ast.get_docstring(ast.parse((repository / "router.py").read_text("utf-8")))
    given = docopt.docopt(usage, command)
    assert read_options(given, ("stdio", "sse", "http"), {}, {}).limits.list_wait == seconds


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_memory_that_large_messages_took_is_given_back(start_router):
    running = start_router({"fake": fake()})

    def megabytes():
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    with Sse(running.url) as client:
        def echo(size):
            client.post(call(1, "fake__echo", text="x" * size))
            assert len(client.get()["result"]["content"][0]["text"]) == size
        echo(10)
        before = megabytes()
        for _ in range(5):
            echo(4_000_000)
        echo(10)    # a thread may hold the last message until its next one comes
    assert megabytes() - before < 12    # it was 24
