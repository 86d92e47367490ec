"""Behind a real nginx with no settings but proxy_pass: nothing is held back, nothing cut off.

It cuts off what is silent for a minute. So that the test need not last so long, it and the router
are told to be quicker."""

import socket
import subprocess
import time

import pytest

from by_hand import Sse, call
from processes import ROOT, debian, fake, wait_until
from streamable_by_hand import Http, close, events, progress_call

CONFIG = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; location / {{
        proxy_pass {url}; proxy_read_timeout {patience}s; }} }}
}}
"""
PATIENCE, USUAL_PATIENCE = 6, 60    # seconds
PROGRAM = f"""
import sys
from transports.http import server
server.HEARTBEAT *= {PATIENCE / USUAL_PATIENCE}
import router
sys.exit(router.main())
"""


@pytest.fixture
def nginx(tmp_path):
    """nginx(running) puts one in front of a router, and returns something with its URL."""
    command = debian("nginx")
    started = []

    def start(running):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = tmp_path / "nginx.conf"
        config.write_text(CONFIG.format(folder=tmp_path, port=port, url=running.url,
                                        patience=PATIENCE))
        started.append(subprocess.Popen([command, "-c", str(config), "-p", str(tmp_path)],
                                        stderr=subprocess.DEVNULL))

        class Front:
            url = f"http://127.0.0.1:{port}"

        def listening():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        assert wait_until(listening)
        return Front
    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def test_events_are_not_held_back_and_idle_streams_live_longer_than_its_patience(
        start_router, nginx, repository):
    running = start_router({"fake": fake(), "time": {
        "command": "python3", "args": [str(repository / "upstreams/servers/timekeeper.py")]}},
        env={"PYTHONPATH": str(ROOT)}, program=("-c", PROGRAM))
    front = nginx(running)
    with Sse(front.url) as idle:
        client = Http(front)
        since = time.monotonic()
        slow = client.begin("POST", client.call(5, "fake__sleep", seconds=PATIENCE + 1,
                                                text="slept"))
        response = client.open("POST", progress_call(1, 2))
        begun = time.monotonic()
        assert events(response, 3)[2][1]["method"] == "notifications/progress"
        assert time.monotonic() - begun < 1.5  # the call itself takes 2 seconds
        assert events(response)[-1][1]["id"] == 1
        close(response)
        assert events(slow.getresponse())[-1][1]["result"]["content"][0]["text"] == "slept"
        slow.close()
        assert time.monotonic() - since > PATIENCE
        idle.post(call(9, "fake__echo", text="still here"))
        assert idle.get()["result"]["content"][0]["text"] == "still here"
