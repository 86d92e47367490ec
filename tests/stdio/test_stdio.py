"""transports/stdio.py on pipes of our own: its ends, and bad standard files."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from transports import stdio
from transports.program.signals import signals_wake_the_main_thread
from upstreams.routing.router import Router

from by_hand import HELLO, ROUTER, call, lines
from processes import children, command, fake, wait_until
from world import World, offers


class Struck(Router):
    """A router that a signal hits when the end of a session has begun."""

    def leave(self, session):
        signal.raise_signal(signal.SIGTERM)
        super().leave(session)


def test_a_signal_in_the_middle_of_the_end_leaves_nothing_of_it_out(ending):  # noqa: F811
    world = World(github=offers(tools=["search"]))
    router = Struck(world.pool, world.clock)
    (source, write), (read, sink) = os.pipe(), os.pipe()
    os.close(write)  # the end of the input
    with open(source, "rb") as source, open(sink, "wb") as sink:
        stdio.serve_pipes(router, source, sink)
    assert router.sessions.all() == []
    os.close(read)


@pytest.mark.parametrize("closed", [0, 1])
def test_a_closed_stdin_or_stdout_is_a_sentence_and_status_1(tmp_path, config, closed):
    done = subprocess.run([*ROUTER, "--config", config(fake=fake())], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=20,
                          preexec_fn=lambda: os.close(closed))
    assert done.returncode == 1
    assert b"is closed" in done.stderr and b"Traceback" not in done.stderr


def test_pipes_that_do_not_block_are_served_like_any_other(config):
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake())], stdin=ours,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as router:
        os.close(ours)
        assert b"waiting for a client" in router.stderr.readline()
        os.write(theirs, lines(HELLO))
        assert b"mcp-local-router" in router.stdout.readline()
        os.close(theirs)
        assert router.wait(20) == 0


def test_nothing_but_the_router_holds_our_output_open(config):
    """A host that waits for the end of our output gets it when the router ends."""
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake())], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as router:
        router.stdin.write(lines(HELLO))
        router.stdin.flush()
        router.stdout.readline()
        guardians = {}
        assert wait_until(lambda: guardians.update(
            {pid: 1 for pid in children(router.pid) if "guardian" in command(pid)}) or guardians)
        (guardian,) = guardians
        files = {os.readlink(path) for path in Path(f"/proc/{guardian}/fd").iterdir()}
        assert os.readlink(f"/proc/{router.pid}/fd/1") not in files
        router.stdin.close()
        assert router.wait(20) == 0


@pytest.fixture
def serve_pipes():
    """serve_pipes(world, input): what the client has read at the end."""
    def serve(world, data):
        (source, write), (read, sink) = os.pipe(), os.pipe()
        os.write(write, data)
        os.close(write)
        with open(read, "rb") as read, open(source, "rb") as source:
            with open(sink, "wb") as sink:
                stdio.serve_pipes(world.router, source, sink)
            return read.read()
    return serve


def test_an_error_over_one_message_does_not_end_the_main_thread(
        serve_pipes, monkeypatch, caplog):
    def debug(_log, text, *arguments):
        if "dropped an answer" in text:
            raise MemoryError("nothing left")
    monkeypatch.setattr(logging.Logger, "debug", debug)
    said = serve_pipes(World(a=offers()), lines(
        HELLO, {"id": 99, "result": {}}, {"id": 2, "method": "ping"}))
    assert [json.loads(line)["id"] for line in said.splitlines()] == [1, 2]
    assert "MemoryError: nothing left" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_ends_the_thread_of_our_output_ends_us(ending):  # noqa: F811
    def flush():
        if threading.current_thread().name == "stdout-writer":
            raise MemoryError("nothing left")
    (source, write), world = os.pipe(), World(a=offers())
    with open(os.devnull, "wb") as sink, open(source, "rb") as source, \
            pytest.raises(SystemExit), signals_wake_the_main_thread():
        sink.flush = flush
        os.write(write, lines(HELLO))
        stdio.serve_pipes(world.router, source, sink)   # the input has no end
    os.close(write)
    assert world.router.sessions.all() == []


def test_windows_before_python_3_12_has_no_set_blocking(monkeypatch):
    monkeypatch.delattr(os, "set_blocking")
    world, (source, write), (read, sink) = World(a=offers()), os.pipe(), os.pipe()
    os.write(write, lines(HELLO))
    os.close(write)
    with open(source) as source, open(sink, "w") as sink, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", source)
        patch.setattr(sys, "stdout", sink)
        stdio.serve(world.router, None)
    with open(read) as read:
        assert json.loads(read.readline())["id"] == 1


def test_one_bad_entry_leaves_the_only_client_all_other_servers(config):
    path = config(good=fake(), bad={"url": ""}, unset={**fake(), "env": {"A": "${NO_SUCH_ONE}"}})
    with subprocess.Popen([*ROUTER, "--config", path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as router:
        router.stdin.write(lines(HELLO, {"method": "notifications/initialized"},
                                 {"id": 2, "method": "tools/list"}))
        router.stdin.flush()
        got = [router.stdout.readline() for _ in range(2)]
        said, complained = router.communicate(lines(call(3, "unset__echo", text="x")), timeout=20)
    assert b"good__echo" in got[1] and b"unset__echo" not in got[1]
    assert b"the variable NO_SUCH_ONE is not set" in said
    assert b"mcpServers.bad.url: must not be empty" in complained and router.returncode == 0
