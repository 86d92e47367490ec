"""--login and --logout as a person uses them, and the routers that run meanwhile."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from authorization_server import silent

from upstreams.login.tokens import Tokens

from by_hand import HELLO, ROUTER, Sse, call, lines
from processes import wait_until

BROWSER = f"{sys.executable} {Path(__file__).with_name('official_client.py')} --browse %s"
NEEDS = "needs login: router.py --login far"
DONE = "far: logged in, 2 tools\n"


@pytest.fixture
def command(run, config, far):
    """command(*options, …) runs the router with the server `far` to its end."""
    def run_it(*options, stdin=subprocess.DEVNULL, servers=None, **environment):
        done = run(*ROUTER, "--config", config(**(servers or {"far": {"url": far.url}})), *options,
                   stdin=stdin, env={**os.environ, "BROWSER": BROWSER, **environment})
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in done.stderr
        return done
    return run_it


@pytest.fixture
def start(config, far):
    """start(*options, …) starts the router as a host does."""
    started = []

    def run(*options, browser="true", **more):
        started.append(subprocess.Popen(
            [*ROUTER, *(options if "--connect" in options else
                        ("--config", config(far={"url": far.url}), *options))],
            env={**os.environ, "BROWSER": browser}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more))
        return started[-1]
    yield run
    for process in started:
        process.kill()
        with process:
            pass


def health(running):
    with urllib.request.urlopen(f"{running.url}/health") as answer:
        return json.load(answer)["servers"]["far"]


def expire(far):
    """The token is over for all."""
    record = Tokens(far.url).read()
    Tokens(far.url).write({**record, "expires": time.time() - 1, "got": time.time() - 3600})
    far.forget()


def refreshes(far):
    return [sent for sent in far.asked("/token") if sent["grant_type"] == "refresh_token"]


def test_two_commands_read_off_the_screen_lead_to_a_server_that_runs(command, far):
    checked = command("--check")
    assert checked.returncode == 1 and f"far: {NEEDS}\n" in checked.stdout
    (options,) = re.findall(r"needs login: router\.py (.*)", checked.stdout)
    done = command(*options.split())
    assert done.returncode == 0 and DONE in done.stderr
    assert NEEDS not in done.stderr, "who does so is not told to do so"
    assert f"    {far.issuer}/authorize?" in done.stderr, "for a browser elsewhere"
    assert command("--check").returncode == 0


@pytest.mark.parametrize("protocol", ["legacy", "modern", "sse"])
def test_a_router_that_runs_sees_the_login_and_starts_the_server(
        command, start_router, new_far, protocol):
    far = new_far(protocol)
    servers = {"far": {"url": far.url, **({"type": "sse"} if protocol == "sse" else {})}}
    running = start_router(servers)
    assert health(running)["lastError"] == NEEDS
    assert DONE in command("--login", "far", servers=servers).stderr
    assert wait_until(lambda: health(running)["state"] == "running", 3)
    with Sse(running.url) as client:
        client.post(call(2, "far__where"))
        assert client.get()["result"]["content"][0]["text"] == "where: here"


def test_what_a_person_must_open_is_shown_whole_also_where_the_config_has_variables(command, far):
    servers = {"far": {"url": far.url.replace("127.0.0.1", "${MY_HOST}"),
                       "oauth": {"clientId": "${MY_CLIENT}"}}}
    done = command("--login", "far", servers=servers, MY_CLIENT="the-client-of-mine",
                   MY_HOST="127.0.0.1")
    assert done.returncode == 0
    assert f"    {far.issuer}/authorize?" in done.stderr and "***" not in done.stderr.partition(
        "    http")[2].partition("\n")[0]
    assert "client_id=the-client-of-mine&" in done.stderr


def test_a_login_works_without_a_browser_on_this_machine(start, far):
    process = start("--login", "far", text=True)
    url = next(line for line in process.stderr if line.startswith("    http")).strip()
    state, = re.findall("state=([^&]*)", url)
    far.codes["c1"] = {}
    print(f"http://127.0.0.1:1/callback?code=c1&state={state}", file=process.stdin, flush=True)
    assert DONE in process.stderr.read()
    assert process.wait() == 0


def test_a_logout_is_heard_by_all(command, far, start_router):
    command("--login", "far")
    running = start_router({"far": {"url": far.url}})
    assert health(running)["state"] == "running"
    assert command("--logout", "far").stderr == "far: logged out\n"
    with Sse(running.url) as client:
        client.post(call(2, "far__where"))
        assert client.get()["error"]["message"].endswith(NEEDS)
    assert command("--logout", "far").stderr == "far: nobody was logged in\n"


@pytest.mark.parametrize("options, server, words", [
    (["--login"], {}, "need the name of a server of the config"),
    (["--login", "--connect", "far.example/mcp"], {}, "--connect: its URL must begin with http"),
    (["--login", "near"], {}, "there is no server 'near' in the config; there are: far"),
    (["--login", "far"], {"oauth": False}, '"oauth": false'),
    (["--login", "far"], {"headers": {"authorization": "Bearer x"}}, "a header of its own"),
    (["--login", "far"], {"command": "true"}, "far is a program on this machine"),
    (["--login", "far"], {"oauth": {"callbackPort": "x"}}, "callbackPort"),
])
def test_a_login_that_makes_no_sense_is_refused_with_a_sentence(
        command, far, options, server, words):
    server = server if "command" in server else {"url": far.url, **server}
    done = command(*options, servers={"far": server})
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1]


def test_a_login_that_fails_says_why(command, far):
    far.instead["/authorize"] = lambda handler: far.redirects(
        handler, error="access_denied", state=handler.sent["state"])
    done = command("--login", "far")
    assert done.returncode == 1
    assert "router.py: far: the authorization server refused: access_denied\n" in done.stderr


def test_a_server_that_takes_no_token_is_not_said_to_need_a_login_after_one(command, far):
    far.instead["/mcp"] = lambda handler: handler.sends(401, "text/plain", "nobody comes in")
    done = command("--login", "far")
    assert done.returncode == 1 and done.stderr.endswith(
        "router.py: far: logged in, but the server refuses that; the log says what it answered\n")
    assert "401 Unauthorized: nobody comes in" in done.stderr


def test_of_a_server_that_needs_no_login_it_is_said_that_it_runs(command, far):
    far.instead["/mcp"] = far.legacy
    for path in ("/.well-known/oauth-protected-resource/mcp", "/register",
                 "/.well-known/oauth-authorization-server"):
        far.instead[path] = lambda handler: handler.sends(404, "text/plain", "what?")
    done = command("--login", "far")
    assert done.returncode == 1 and done.stderr.endswith(
        "router.py: far: it runs as it is, but the authorization server did not register us: "
        "HTTP 404\n")


def test_a_signal_ends_a_login(start, far):
    process = start("--login", "far", text=True)
    assert any(line.startswith("    http") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1 and "Traceback" not in process.stderr.read()


def test_two_routers_with_one_token_that_is_over_refresh_it_once(command, far, start):
    command("--login", "far")
    expire(far)
    routers = [start() for _ in range(2)]
    for router in routers:
        router.stdin.write(lines(HELLO, {"method": "notifications/initialized"},
                                 call(2, "far__where")))
        router.stdin.close()
    for router in routers:
        answers = [json.loads(line) for line in router.stdout]
        assert answers[-1]["result"]["content"][0]["text"] == "where: here", answers
    assert len(refreshes(far)) == 1


def test_a_router_that_is_killed_before_it_has_written_new_tokens_has_not_lost_the_login(
        command, far, start):
    command("--login", "far")
    expire(far)
    record, killed = Tokens(far.url).read(), []

    def at_token(handler):
        far.refresh[far.new("refresh")] = far.refresh[record["refresh_token"]]  # it is rotated
        router.kill()
        killed.append(router.wait())
        del far.instead["/token"]
    far.instead["/token"] = at_token
    router = start()
    router.stdin.write(lines(HELLO))
    router.stdin.flush()
    router.stdout.read()
    assert wait_until(lambda: killed) and Tokens(far.url).read() == record
    assert command("--check").returncode == 0, "the old one is tried again"


def test_a_router_that_ends_waits_only_a_little_for_new_tokens(command, far, start_router):
    command("--login", "far")
    expire(far)
    far.instead["/token"] = silent
    running = start_router({"far": {"url": far.url}}, ready=False)
    assert wait_until(lambda: refreshes(far))
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 5 and "ERROR" not in "\n".join(running.lines)


def test_connect_logs_in_too(far, run, tmp_path):
    environment = {**os.environ, "BROWSER": BROWSER}
    done = run(*ROUTER, "--connect", far.url, "--login", stdin=subprocess.DEVNULL, env=environment)
    assert done.returncode == 0, done.stderr
    assert f"{far.url}: logged in, 2 tools\n" in done.stderr.decode()
    done = run(*ROUTER, "--connect", far.url, env=environment, input=lines(
        HELLO, {"method": "notifications/initialized"}, call(2, "where")))
    assert json.loads(done.stdout.splitlines()[-1])["result"]["content"][0]["text"] == \
        "where: here"
    done = run(*ROUTER, "--connect", far.url, "--logout", env=environment)
    assert done.returncode == 0 and done.stderr.decode().endswith("logged out\n")


def test_connect_without_a_login_says_what_to_do_and_goes_on_after_it(far, run, start):
    relay = start("--connect", far.url)

    def ask(message):
        relay.stdin.write(lines(message))
        relay.stdin.flush()
        return json.loads(relay.stdout.readline())
    problem = ask(HELLO)["error"]["message"]
    assert problem.endswith(f"needs login: router.py --connect {far.url} --login, or give its "
                            "token with --token-file; it is tried again")
    run(*ROUTER, "--connect", far.url, "--login", stdin=subprocess.DEVNULL,
        env={**os.environ, "BROWSER": BROWSER})
    assert wait_until(lambda: "result" in ask(HELLO), 5)


def test_a_query_that_may_be_secret_is_not_repeated_but_its_place_is(far, start):
    relay = start("--connect", f"{far.url}?a=b")
    relay.stdin.write(lines(HELLO))
    relay.stdin.flush()
    problem = json.loads(relay.stdout.readline())["error"]["message"]
    assert f"needs login: router.py --connect {far.url}?… --login" in problem


def test_no_secret_is_in_any_log_error_trace_or_page(command, far, start_router, tmp_path, state):
    far.token_answer = {"expires_in": 5}
    hello, trace, said = far._hello(), tmp_path / "trace", []
    far._hello = lambda: {**hello, "serverInfo": {"name": " ".join(far.access), "version": "1"}}
    done = command("--login", "far", "--log-level", "debug")
    said += [done.stdout, done.stderr]
    running = start_router({"far": {"url": far.url}}, "--log-level", "debug", "--trace",
                           str(trace))
    far.forget()
    far.instead["/mcp"] = _repeats(far)
    with Sse(running.url) as client, contextlib.closing(
            urllib.request.urlopen(f"{running.url}/live/events")) as events:
        client.post(call(2, "far__where"))
        said.append(json.dumps(client.get()))
        client.post(call(3, "far__secret"))
        said.append(json.dumps(client.get()))
        said.append(events.read(1).decode())
        while "far__secret" not in said[-1]:
            said[-1] += events.readline().decode()
    said.append(json.dumps(health(running)))
    far.instead["/token"] = lambda handler: handler.json(
        {"error": "invalid_grant", "error_description": str(handler.sent)}, 400)
    far.forget()
    with Sse(running.url) as client:
        client.post(call(2, "far__where"))
        said.append(json.dumps(client.get()))
    said.append(command("--check", "--log-level", "debug").stdout)
    running.stop()
    said += [*running.lines, trace.read_text()]
    said.append(command("--login", "far", "--log-level", "debug").stderr)
    kinds = {"access", "refresh", "code", "secret"}
    secrets = {match for _, sent, headers in far.seen for match in re.findall(
        rf"(?:{'|'.join(kinds)})-\d+-\d+-\d+", json.dumps([sent, headers]))}
    secrets |= {sent["code_verifier"] for sent in far.asked("/token") if "code_verifier" in sent}
    assert {secret.partition("-")[0] for secret in secrets} >= kinds
    text = "\n".join(said)
    assert "where" in text and [each for each in secrets if each in text] == []


def _repeats(far):
    """A server that says what it was sent, wherever it can."""
    def at_mcp(handler):
        sent = handler.headers.get("Authorization", "")
        if handler.sent.get("params", {}).get("name") == "secret":
            handler.sends(500, "text/plain", sent)
        elif handler.sent.get("method") == "tools/call" and sent[7:] not in far.access:
            handler.sends(401, "text/plain", sent, WWW_Authenticate=f'Bearer error="{sent}"')
        else:
            far.at_mcp(handler)
    return at_mcp
