"""Routers that are, directly or by way of others, servers of their own: one entry fails with a
sentence, the rest goes on, and nothing grows."""

import json
import re
import socket
import sys
import urllib.request

import pytest

from upstreams.connections.remote import message_headers
from upstreams.connections.remote.message_headers import (HEADER, MOST_ABOVE, PARENT, REFUSED,
                                                          Circle, circle)

from by_hand import Sse
from processes import ROOT, Running, fake, wait_until

SENTENCE = "answered HTTP 508 Loop Detected: This router is, perhaps by way of others, a server of"


@pytest.fixture
def ports():
    """Ports that are free, three of them."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    found = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return found


@pytest.fixture
def start(tmp_path):
    """start(port, servers): a router there."""
    started = []

    def start_it(port, servers):
        folder = tmp_path / str(port)
        folder.mkdir()
        started.append(Running(folder, servers, port=port, ready=False))
        return started[-1]
    yield start_it
    for running in started:
        running.stop()


def health(running):
    with urllib.request.urlopen(f"{running.url}/health", timeout=60) as answer:
        return json.load(answer)


def failed(running):
    """The servers that have failed with that sentence."""
    return [name for name, server in health(running)["servers"].items()
            if server["state"] == "failed" and SENTENCE in (server["lastError"] or "")]


def names(running):
    with Sse(running.url) as client:
        client.post({"id": 2, "method": "tools/list"})
        while (answer := client.get()).get("id") != 2:
            pass
        return [tool["name"] for tool in answer["result"]["tools"]]


def url(port, path="mcp"):
    return {"url": f"http://127.0.0.1:{port}/{path}"}


@pytest.mark.parametrize("path", ["mcp", "sse", "mcp/fake"])
def test_an_entry_that_names_the_router_itself_fails_and_the_rest_goes_on(start, ports, path):
    running = start(ports[0], {"fake": fake(), "me": url(ports[0], path)})
    assert wait_until(lambda: failed(running) == ["me"], 20)
    assert "fake__echo" in names(running) and not [one for one in names(running) if "me__" in one]
    assert wait_until(lambda: health(running)["sessions"] == 0)


@pytest.mark.parametrize("count", [2, 3])
def test_a_circle_of_routers_is_found_out_by_one_of_them(start, ports, count):
    ports = ports[:count]
    circle = [start(port, {"fake": fake(), "next": url(ports[(place + 1) % count])})
              for place, port in enumerate(ports)]
    assert wait_until(lambda: any(map(failed, circle)), 40)
    lengths = [name.count("__") for running in circle for name in names(running)]
    assert max(lengths) <= count + 1 and min(lengths) == 1


@pytest.mark.parametrize("by_way", [False, True])
def test_a_relay_that_leads_back_to_its_router_is_found_out(start, ports, by_way):
    there = ports[1] if by_way else ports[0]
    relay = {"command": "python3", "args": [
        str(ROOT / "router.py"), "--connect", url(there)["url"]], "startTimeout": 20}
    running = start(ports[0], {"fake": fake(), "me": relay})
    circle = [running] + ([start(there, {"back": url(ports[0])})] if by_way else [])

    def is_told():
        found = [line for one in circle for line in one.lines if SENTENCE in line]
        return [line for line in found if re.search('server "(me|back)" is not running', line)]
    assert wait_until(is_told, 40)
    assert "fake__echo" in names(running)
    assert max(name.count("__") for one in circle for name in names(one)) <= 3


def test_an_agent_below_a_router_may_call_that_router(start, ports):
    """A server of the router that starts a relay of its own to it: no circle, since what the
    server lists does not depend on the router."""
    agent = ("import subprocess, sys, json\n"
             "hello = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': 'initialize', 'params': {\n"
             "    'protocolVersion': '2025-11-25', 'capabilities': {},\n"
             "    'clientInfo': {'name': 'agent', 'version': '1'}}})\n"
             "done = subprocess.run([sys.executable, *sys.argv[1:]], input=hello + '\\n',\n"
             "                      capture_output=True, text=True)\n"
             "print('agent heard', done.stdout, file=sys.stderr)\n")
    running = start(ports[0], {"agent": {"restart": False, "command": "python3", "args": [
        "-c", agent, str(ROOT / "router.py"), "--connect", url(ports[0])["url"]]}})
    assert '"serverInfo"' in running.wait_for("agent heard .*", 30)[0]


def test_a_router_that_was_not_heard_for_a_while_is_not_above_us_any_more(monkeypatch):
    ours, other = Circle(), "0123456789abcdef"
    ours.closes({HEADER: other}.get)
    assert other in ours.header[1]
    monkeypatch.setattr(message_headers, "HEARD_SECONDS", 0.0)
    assert other not in ours.header[1]


def test_who_has_started_us_is_above_us_by_way_of_others_too_but_of_a_relay_only_its_parent(
        monkeypatch):
    monkeypatch.setenv(PARENT, "")
    starter = Circle()
    below = Circle()
    assert below.header[1] == f"{below.id},{starter.header[1]}"
    monkeypatch.setenv(PARENT, f"{starter.id}:1")
    agents = Circle()
    assert starter.id in agents.header[1]
    agents.is_relay()
    assert agents.header[1] == agents.id


def test_routers_that_are_servers_of_each_other_recover_when_one_is_mended(start, ports):
    both = [start(port, {"fake": fake(), "other": url(ports[not place])})
            for place, port in enumerate(ports[:2])]
    assert wait_until(lambda: any(map(failed, both)), 40)
    both[0].config.write_text(json.dumps({"mcpServers": {"fake": fake()}}))
    with Sse(both[1].url):  # who uses it
        assert wait_until(lambda: health(both[1])["servers"]["other"]["state"] == "running", 150)


def test_a_router_that_is_started_through_a_shell_is_found_out(start, ports, tmp_path):
    config = tmp_path / "inner.json"
    config.write_text(json.dumps({"mcpServers": {"outer": url(ports[0])}}))
    command = f"{sys.executable} {ROOT / 'router.py'} --config {config}; true"
    running = start(ports[0], {"fake": fake(), "in": {"command": "sh", "args": ["-c", command]}})
    assert wait_until(lambda: [line for line in running.lines if SENTENCE in line], 40)
    assert max(name.count("__") for name in names(running)) <= 2


def test_a_request_that_comes_from_ourselves_is_refused(monkeypatch):
    monkeypatch.setenv(PARENT, "")

    def why_not(circle, value):
        return circle.closes({HEADER: value}.get)
    other, ours = "0123456789abcdef", Circle()
    assert why_not(circle, f"{other},{circle.id}") == REFUSED
    assert why_not(circle, other) is None
    assert circle.header[1].split(",")[0] == circle.id and other in circle.header[1].split(",")
    for n in range(1000):
        assert not why_not(ours, f"{n:016x}" + "," * 10_000)
    assert len(ours.header[1]) == 17 * MOST_ABOVE + 16 and f"{999:016x}" in ours.header[1]
    assert not why_not(ours, "rubbish, \x00") and not why_not(ours, None)
