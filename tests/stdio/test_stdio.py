"""transports/stdio.py on pipes of our own: its ends, and bad standard files."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from transports import stdio
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
