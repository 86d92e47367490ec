"""What a person does to a server on the page, over HTTP: transports/http/live/acts.py."""

import pytest

from live_by_hand import Page, ask, ask_to_act
from processes import children, fake, wait_until


def server(page, state):
    return page.until(lambda page: page.state and page.server("fake")["state"] == state)


def test_a_server_is_started_again_and_stopped_and_the_file_of_the_config_stays(start_router):
    running = start_router({"fake": fake()})
    config = running.config.read_bytes()
    with Page(running) as page:
        pid = server(page, "running").server("fake")["pid"]
        assert page.state["canAct"]
        assert ask_to_act(running, "fake/restart", Origin=running.url) == (202, "")
        page.until(lambda page: page.server("fake")["pid"] not in (pid, None))
        assert pid not in children(running.process.pid)
        assert ask_to_act(running, "fake/stop", Origin=running.url)[0] == 202
        server(page, "stopped")
        assert wait_until(lambda: page.server("fake")["pid"] not in children(running.process.pid))
        assert ask_to_act(running, "fake/restart", Origin=running.url)[0] == 202
        server(page, "running")
        assert running.wait_for("as somebody has asked on the page")
    assert running.config.read_bytes() == config


def test_only_a_page_of_this_origin_may_act_and_only_with_a_post_and_the_token(start_router,
                                                                               tmp_path):
    (tmp_path / "token").write_text("s3cret")
    running = start_router({"fake": fake()}, "--token-file", str(tmp_path / "token"),
                           "--allow-origin", "https://app.example")
    key, port = {"Authorization": "Bearer s3cret"}, running.url.rsplit(":", 1)[1]
    for headers in ({}, {"Origin": "null"}, {"Origin": "https://app.example"},
                    {"Origin": "http://127.0.0.1:1"}, {"Origin": f"http://localhost:{port}"},
                    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
                    {"Sec-Fetch-Site": "none"}):
        for path in "servers/fake/stop", "servers/fake/restart":
            assert ask(running, f"/live/{path}", "POST", **key, **headers)[0] == 403, headers
    ours = {"Origin": running.url}
    assert ask_to_act(running, "fake/stop", **ours)[0] == 401
    assert ask_to_act(running, "fake/stop", **ours, Authorization="Bearer wrong")[0] == 401
    assert ask(running, "/live/servers/fake/stop", **ours, **key)[0] == 405
    with Page(running, **key) as page:
        server(page, "running")
        assert ask_to_act(running, "fake/stop", Sec_Fetch_Site="same-origin", **key)[0] == 202
        server(page, "stopped")


@pytest.mark.parametrize("path, words", [
    ("nosuch/stop", 'there is no server "nosuch" any more'),
    ("fake/explode", "nobody can explode a server here")])
def test_what_cannot_be_done_is_said(start_router, path, words):
    running = start_router({"fake": fake()})
    assert ask_to_act(running, path, Origin=running.url) == (400, f"{words}\n")


def test_without_the_page_nobody_can_act(start_router):
    running = start_router({"fake": fake()}, "--no-live")
    assert ask_to_act(running, "fake/stop", Origin=running.url)[0] in (404, 405)
