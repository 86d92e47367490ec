"""transports/http/access_check.py: the matrix of Host, Origin, token, and what web pages get."""

import os
import sys
import urllib.error
import urllib.request

import pytest

from transports.http.access_check import AccessCheck
from transports.program.options import Access

from by_hand import HELLO, Sse
from processes import fake

LOCAL, PAGE, EVIL = "http://localhost:6274", "https://app.example", "http://evil.example"


def ask(access, method="GET", path="/sse", **headers):
    """The status and the headers that a request gets; 200 if it is let in."""
    headers = {"host": "localhost:8080", **{
        name.replace("_", "-"): value for name, value in headers.items()}}

    def header(name, default=None):
        value = headers.get(name.lower())
        return default if value is None else value
    refused, cors = AccessCheck(access, {"/live"}).judge(method, path, header)
    _, status, more = refused or (b"", "200 OK", [])
    return int(status[:3]), dict([*more, *cors])


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("localhost:8080", 200), ("127.0.0.1:1", 200), ("[::1]:8080", 200),
    ("LOCALHOST", 200), ("evil.example", 403), ("localhost.evil.example", 403), ("", 403),
    ("127.0.0.1.evil.example", 403), ("evil.example:127", 403), ("[::1", 403),
    ("a@localhost", 403), ("localhost@evil.example", 403), ("app.example", 403), (None, 403),
    ("localhost/", 403), ("localhost:x", 403), ("[::1]evil", 403), ("::1", 403),
])
@pytest.mark.parametrize("origin, allowed", [
    (None, True), (LOCAL, True), ("http://127.0.0.1", True), (EVIL, False), ("null", False),
    ("", False), ("http://localhost.evil.example", False), ("file://localhost", False),
    ("http://[", False), ("http://localhost/" + "x" * 300, False), ("http://localhost/", False),
    ("http://a@localhost", False), ("https://[::1]:1", True),
])
@pytest.mark.parametrize("token", [None, b"t0ken"])
def test_the_matrix_on_loopback(host, status, origin, allowed, token):
    """With a token any Host is served: a page that was made to point here has no token, and a
    container calls this machine host.docker.internal."""
    expected = 403 if not allowed else 200 if token else status
    if token and expected == 200:
        assert ask(Access(token=token), host=host, origin=origin)[0] == 401
    assert ask(Access(token=token), host=host, origin=origin,
               authorization="Bearer t0ken")[0] == expected


@pytest.mark.parametrize("authorization, status", [
    ("Bearer t0ken", 200), ("bearer t0ken", 200), ("Bearer  t0ken ", 200), (None, 401),
    ("", 401), ("Bearer", 401), ("Bearer x", 401), ("Basic t0ken", 401), ("t0ken", 401),
    ("Bearer t0ken2", 401), ("Bearer t0kén", 401),
])
def test_the_token_is_asked_of_everybody(authorization, status):
    got, headers = ask(Access(token=b"t0ken"), authorization=authorization)
    assert got == status
    assert ("WWW-Authenticate" in headers) == (status == 401)


def test_web_pages_of_an_allowed_origin_get_the_headers_they_need():
    access = Access(origins=(PAGE + "/",), token=b"t0ken")
    status, headers = ask(access, "OPTIONS", origin=PAGE)  # the preflight carries no token
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == PAGE and headers["Vary"] == "Origin"
    for name in ("Mcp-Session-Id", "Mcp-Protocol-Version", "Last-Event-ID", "Authorization",
                 "Content-Type"):
        assert name in headers["Access-Control-Allow-Headers"]
    assert "DELETE" in headers["Access-Control-Allow-Methods"]
    status, headers = ask(access, origin=PAGE, authorization="Bearer t0ken")
    assert status == 200 and headers["Access-Control-Expose-Headers"] == "Mcp-Session-Id"
    assert ask(access, origin=PAGE)[1]["Access-Control-Allow-Origin"] == PAGE  # the page sees 401
    assert ask(access, "OPTIONS", origin=EVIL)[0] == 403
    assert ask(access, host="app.example", authorization="Bearer t0ken")[0] == 200
    assert "Access-Control-Allow-Origin" not in ask(access, authorization="Bearer t0ken")[1]


def test_a_preflight_allows_the_headers_that_carry_parameters_of_a_tool():
    status, headers = ask(Access(), "OPTIONS", origin=LOCAL, access_control_request_headers=(
        "content-type, mcp-param-region, Mcp-Param-Row_2,x-evil, x-mcp-param-x,mcp-param-a.b~!,"
        "mcp-param-é, mcp-param-a:b, mcp-param-, mcp-param-a b"))
    allowed = headers["Access-Control-Allow-Headers"].split(", ")
    assert status == 204 and allowed[-4:] == ["mcp-param-region", "Mcp-Param-Row_2",
                                              "mcp-param-a.b~!", "mcp-param-a"]
    assert "x-evil" not in allowed and "Content-Type" in allowed


@pytest.mark.parametrize("site, status", [
    ("cross-site", 403), ("same-origin", 200), ("same-site", 200), ("none", 200), (None, 200)])
def test_a_page_of_another_site_opens_nothing_as_an_image(site, status):
    """A browser sends no Origin with that, and the page could read no answer. But a session would
    begin, or the messages would be watched."""
    for path in ("/sse", "/health", "/live/events"):
        assert ask(Access(), path=path, sec_fetch_site=site)[0] == status
    assert ask(Access(), path="/live", sec_fetch_site=site)[0] == 200     # has no data: a link
    assert ask(Access(origins=(PAGE,)), sec_fetch_site=site, origin=PAGE)[0] == 200
    assert ask(Access(origins=(PAGE,)), sec_fetch_site=site, origin=EVIL)[0] == 403


def test_where_the_network_may_reach_us_any_name_is_ours_and_the_token_decides():
    access = Access(host="0.0.0.0", token=b"t0ken")
    assert ask(access, host="laptop.lan:8080")[0] == 401
    assert ask(access, host="laptop.lan:8080", authorization="Bearer t0ken")[0] == 200
    assert ask(access, host="laptop.lan", origin=EVIL, authorization="Bearer t0ken")[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.2", "::1", "localhost"])
def test_any_address_of_this_machine_may_be_listened_on_without_a_token(host):
    access = Access(host=host)
    access.check()
    assert ask(access, host=f"[{host}]" if ":" in host else host)[0] == 200
    assert ask(access, host="evil.example")[0] == 403


def test_a_guard_may_refuse_what_is_let_in_and_says_why():
    access = Access(token=b"t0ken", guards=(lambda header: header("X-Odd") and "a loop",))
    assert ask(access, x_odd="1")[0] == 401
    assert ask(access, x_odd="1", authorization="Bearer t0ken")[0] == 508
    assert ask(access, authorization="Bearer t0ken")[0] == 200


def test_a_session_id_is_worth_nothing_without_the_token(start_router, tmp_path):
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    running = start_router({"fake": fake()}, "--token-file", str(file))
    with Sse(running.url, hello=False, headers={"Authorization": "Bearer t0ken"}) as client:
        for token, status in (("wrong", 401), ("t0ken", 202)):
            assert client.post(HELLO, Authorization=f"Bearer {token}")[0] == status
    for path in ("/sse", "/health", "/", "/message"):
        request = urllib.request.Request(running.url + path)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == 401
        refused.value.close()
    assert "t0ken" not in "\n".join(running.lines)


def test_the_token_of_the_environment_is_used_and_no_server_inherits_it(start_router):
    show = "import os, sys; sys.exit('token: ' + str(os.environ.get('MCP_ROUTER_TOKEN')))"
    running = start_router({"show": {"command": "python3", "args": ["-c", show]}},
                           env={"MCP_ROUTER_TOKEN": "t0ken-of-ours"})
    running.wait_for("token: None")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{running.url}/health", timeout=60)
    assert refused.value.code == 401
    refused.value.close()


@pytest.mark.parametrize("options, words", [
    (["--host", "0.0.0.0"], b"lets the whole network in"),
    (["--token-file", "/no/such/file"], b"--token-file /no/such/file: No such file"),
    (["--token-file", os.devnull], b"is empty"),
    (["--host", "0.0.0.0", "MCP_ROUTER_TOKEN="], b"MCP_ROUTER_TOKEN is empty, which is no token"),
    (["--port", "0", "MCP_ROUTER_TOKEN= "], b"MCP_ROUTER_TOKEN is empty, which is no token"),
    (["--allow-origin", "app.example"], b"--allow-origin app.example: an origin looks like"),
    (["--allow-origin", "*"], b"--allow-origin *: an origin"),
    (["--allow-origin", "http://["], b"--allow-origin http://[: an origin"),
    (["--allow-origin", "https://app.example/path"], b"an origin looks like https://app.example"),
])
def test_what_would_leave_the_door_open_is_refused(run, tmp_path, options, words, repository):
    variables = dict(one.split("=") for one in options if "=" in one)
    done = run(sys.executable, str(repository / "router.py"), "--transport", "sse",
               *(one for one in options if "=" not in one), env={**os.environ, **variables})
    assert done.returncode == 2 and words in done.stderr


def test_secrets_of_the_config_reach_no_log_no_error_and_no_page(start_router):
    show = ("import os, sys; print('my key is', os.environ['KEY'], file=sys.stderr); "
            "sys.exit('died with ' + os.environ['KEY'])")
    running = start_router({"leaks": {"command": "python3", "args": ["-c", show], "restart": False,
                                      "env": {"KEY": "s3cret-value"}}}, "--log-level", "debug")
    running.wait_for("leaks.*died with")
    with urllib.request.urlopen(f"{running.url}/health", timeout=60) as response:
        text = response.read().decode()
    assert "died with ***" in text
    assert "s3cret-value" not in text + "\n".join(running.lines)


def test_a_container_reaches_the_router_by_its_own_name_for_it_if_there_is_a_token(start_router):
    running = start_router({"fake": fake()}, env={"MCP_ROUTER_TOKEN": "t0ken-value"})
    for token, status in ("t0ken-value", 200), ("another", 401):
        request = urllib.request.Request(f"{running.url}/health", headers={
            "Host": "host.docker.internal:8080", "Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == status
        except urllib.error.HTTPError as problem:
            assert problem.code == status


def test_without_a_token_the_refusal_of_a_host_says_what_to_do():
    (body, status, _), _ = AccessCheck(Access()).judge(
        "GET", "/sse", {"Host": "host.docker.internal"}.get)
    assert status.startswith("403") and b"use 127.0.0.1 or localhost" in body
    assert b"--token-file" in body
