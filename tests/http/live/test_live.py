"""/live, /live/events and /: what a browser gets, and who may look."""

import http.client
import json
import os
import signal
import socket
import time

import pytest

from transports.http.live.live_page import LivePage

from by_hand import Sse, call
from live_by_hand import Page, ask
from processes import fake, wait_until
from world import World, offers

DATA = ("/live/events", "/health")


def of_calls(page):
    return [one["place"] for one in page.messages if one["method"] == "tools/call"]


def test_a_page_sees_the_servers_the_sessions_and_a_call_as_it_passes(start_router):
    running = start_router({"fake": fake()})
    with Page(running) as page, Sse(running.url) as client:
        client.post(call(7, "fake__echo", text="all"))
        client.get()
        page.until(lambda page: len(of_calls(page)) == 4)
        assert page.hello["url"] == running.url and page.hello["version"]
        assert of_calls(page) == ["from client", "to server", "from server", "to client"]
        page.until(lambda page: page.state["sessions"])
        (session,) = page.state["sessions"]
        assert session["transport"] == "sse" and session["name"] in {
            message["session"] for message in page.messages}
        server = page.server("fake")
        assert server["state"] == "running" and server["serverInfo"]["name"] == "fake"
        assert server["processes"][0]["label"] == "fake"
    with Page(running) as later:  # it gets what the first one saw, too
        assert len(of_calls(later.until(lambda page: page.messages))) == 4
    id = client.endpoint.split("=")[1]
    assert id not in json.dumps([page.messages, page.state])


def test_a_server_that_is_killed_is_seen_to_fail_and_to_come_back(start_router):
    running = start_router({"fake": fake()})
    with Page(running) as page, Sse(running.url):  # one that nobody uses stays as it is
        page.until(lambda page: page.state and page.server("fake")["state"] == "running")
        os.kill(page.server("fake")["pid"], signal.SIGKILL)
        page.until(lambda page: page.server("fake")["state"] == "failed")
        assert "SIGKILL" in page.server("fake")["lastError"]
        page.until(lambda page: page.server("fake")["state"] == "running")


def test_the_page_comes_with_strict_headers_and_no_other_file_does(start_router):
    running = start_router({"fake": fake()})
    status, headers, body = ask(running, "/live")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Referrer-Policy"] == "no-referrer"
    for path in ("/live/../live_page.py", "/live/%2e%2e/live_page.py", "/live/..%2flive_page.py",
                 "/live/live_page.py", "/live/", "/live/nosuch.js", "/live//etc/passwd"):
        assert ask(running, path)[0] == 404, path


def test_the_head_of_a_file_can_be_asked_for_and_that_of_the_stream_cannot(start_router):
    connection = http.client.HTTPConnection(
        start_router({"fake": fake()}).url.split("/")[2], timeout=20)
    for path, status in (("/live", 200), ("/live/live.js", 200), ("/live/events", 405)):
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert (response.status, response.read()) == (status, b"")
    connection.close()


def test_a_message_that_was_cut_is_had_whole_of_this_run_alone(start_router):
    running = start_router({"fake": fake()})
    with Page(running) as page, Sse(running.url) as client:
        client.post(call(7, "fake__big", bytes=100_000))
        client.get()
        page.until(lambda page: len(of_calls(page)) == 4)
        last = page.messages[-1]
        assert last["cut"] and last["client"] and last["name"] == "fake__big"
        path = f"/live/whole/{page.hello['run']}/{last['n']}"
        status, headers, body = ask(running, path)
        assert status == 200 and len(json.loads(body)["result"]["content"][0]["text"]) == 100_000
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert headers["X-Content-Type-Options"] == "nosniff"
        for path in (f"/live/whole/{page.hello['run']}/1", f"/live/whole/other/{last['n']}",
                     f"/live/whole/{page.hello['run']}/x"):
            assert ask(running, path)[0] == 404


def test_without_the_token_the_page_opens_and_its_data_do_not(start_router, tmp_path):
    file = tmp_path / "token"
    file.write_text("t0ken")
    running = start_router({"fake": fake()}, "--token-file", str(file))
    assert ask(running, "/live")[0] == 200
    for path in DATA:
        assert ask(running, path)[0] == 401
        assert ask(running, path, Authorization="Bearer t0ken")[0] == 200
        assert ask(running, path + "?/live")[0] == 401
    assert ask(running, "/live%2fevents")[0] == 401
    assert ask(running, "/live/whole/x/1")[0] == 401
    with Page(running, Authorization="Bearer t0ken") as page:
        page.until(lambda page: page.state)
    assert "t0ken" not in json.dumps([page.messages, page.state])


def test_a_wrong_host_or_origin_sees_nothing(start_router):
    running = start_router({"fake": fake()})
    for path in ("/", "/live", *DATA):
        assert ask(running, path, Host="evil.example")[0] == 403
        assert ask(running, path, Origin="http://evil.example")[0] == 403


def test_no_live_turns_it_off(start_router):
    running = start_router({"fake": fake()}, "--no-live")
    for path in ("/live", "/live/events"):
        assert ask(running, path)[0] == 404
    assert "/live" not in ask(running, "/")[2]


def test_the_address_itself_says_what_this_is_in_html_or_text(start_router):
    running = start_router({"fake": fake()})
    for accept, kind in (("text/html,application/xml;q=0.9,*/*;q=0.8", "text/html"),
                         ("*/*", "text/plain")):
        status, headers, body = ask(running, "/", Accept=accept)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        for path in ("/mcp", "/sse", "/live"):
            assert running.url + path in body
        assert ("<" in body) == (kind == "text/html")


def test_the_end_is_quick_with_pages_open(start_router):
    running = start_router({"fake": fake()})
    with Page(running) as one, Page(running) as two:
        for page in one, two:
            page.until(lambda page: page.state)
        begun = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begun < 4
        while one.read():
            pass


def test_a_page_that_is_closed_holds_no_stream(start_router):
    running = start_router({"fake": fake()})
    for _ in range(3):
        with Page(running) as page:
            page.until(lambda page: page.state)
    assert wait_until(lambda: json.loads(ask(running, "/health")[2])["streams"] == 0)


def test_pages_lose_no_client_a_message_and_one_that_does_not_read_slows_none(start_router):
    running = start_router({"fake": fake()})
    host, port = running.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port))) as stuck, Sse(running.url) as client:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(b"GET /live/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        pages = [Page(running) for _ in range(10)]
        for id in range(1000):
            client.post(call(id, "fake__echo", text=f"{id} " + "x" * 5000))
            answer = client.get()
            assert answer["id"] == id
            assert answer["result"]["content"][0]["text"] == f"{id} " + "x" * 5000
        client.post(call(-1, "fake__echo", text="the last"))
        client.get()
        for page in pages:
            page.until(lambda page: page.missed + len(page.messages) >= 4000)
            page.response.close()
            page.__exit__()


@pytest.mark.parametrize("accept", [None, "text/event-stream"])
def test_the_stream_begins_with_hello_and_state(start_router, accept):
    running = start_router({"fake": fake()})
    with Page(running, **({"Accept": accept} if accept else {})) as page:
        page.read()
        assert page.hello and not page.state
        page.until(lambda page: page.state)
        assert not page.messages


def test_a_state_that_was_slow_to_make_does_not_take_the_place_of_a_newer_one():
    world = World(a=offers(tools=["t"]), b=offers(tools=["t"]))
    latest = LivePage(world.router, None, None, 1).told["state"]
    latest.seconds, upstreams, seen = 0.0, world.pool.upstreams, []

    def upstreams_and_then_a_reload_and_another_page_looks():
        world.pool.upstreams, found = upstreams, upstreams()
        with world.pool.lock:
            world.pool.replace({"b": world.pool.entries["b"]})
        seen.append(latest.get())
        return found
    world.pool.upstreams = upstreams_and_then_a_reload_and_another_page_looks
    seen.append(latest.get())
    assert [b'"name":"a"' in event for event in seen] == [False, False]
    assert seen[0] == seen[1] and b'"name":"b"' in seen[0]


def test_a_server_that_goes_while_the_state_is_told_breaks_no_page():
    world = World(a=offers(tools=["t"]), b=offers(tools=["t"]))
    page, upstreams = LivePage(world.router, None, None, 1), world.pool.upstreams

    def upstreams_and_then_a_reload():
        found = upstreams()
        with world.pool.lock:
            world.pool.replace({"b": world.pool.entries["b"]})
        return found
    world.pool.upstreams = upstreams_and_then_a_reload
    assert [[server["name"] for server in page.state()["servers"]] for _ in range(2)] == [
        ["a", "b"], ["b"]]
