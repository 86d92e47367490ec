"""A modern client whose way to the router is a command: over stdio, and by --connect."""

import contextlib
import json
import urllib.request

import pytest
from modern_client import FORM, META, meta
from scripted import far_server

from processes import Pipe, fake, wait_until
from sdk_tour import sdk

ADA = {"action": "accept", "content": {"name": "Ada"}}
LISTEN = "subscriptions/listen"


@contextlib.contextmanager
def commanded(*arguments):
    """A Pipe to a router that serves stdio."""
    client = Pipe("router.py", "--log-level", "error", *map(str, arguments))
    try:
        yield client
    finally:
        client._process.kill()
        client._process.communicate()


def hears(client, id):
    """(what came before, the answer to this id)."""
    before = []
    while (message := client.hear()).get("id") != id or "method" in message:
        before.append(message)
    return before, message.get("result") or message["error"]


def asks(client, method, capabilities=FORM, level=None, **params):
    return hears(client, client.start(method, meta(capabilities, level), **params))[1]


def is_asked_and_answers(client, prefix, **more):
    """A call that is asked something, and its retry. Returns the last answer."""
    call = {"name": f"{prefix}ask", "arguments": {"kinds": ["elicitation"]}}
    answer = asks(client, "tools/call", **call)
    assert answer["resultType"] == "input_required", answer
    (key,) = answer["inputRequests"]
    state = {"requestState": answer["requestState"]} if "requestState" in answer else {}
    return asks(client, "tools/call", **call, **state, inputResponses={key: ADA})


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_whole_way_over_stdio(config, era):
    with commanded("--config", config(sdk=sdk(era))) as client:
        assert "2026-07-28" in asks(client, "server/discover")["supportedVersions"]
        answer = is_asked_and_answers(client, "sdk__")
        assert json.loads(answer["content"][0]["text"]) == {"elicitation": ADA}
        listen = client.start(LISTEN, meta({}), notifications={"toolsListChanged": True})
        assert client.hear()["method"] == "notifications/subscriptions/acknowledged"
        assert asks(client, "tools/call", name="sdk__ask")["resultType"] == "input_required"
        said, complained = client.end()     # with a subscription, and maybe a parked call
        assert [message["id"] for message in said] == [listen]
        assert "Traceback" not in complained


def test_the_end_of_the_input_waits_for_calls_under_way(config):
    with commanded("--config", config(fake=fake())) as client:
        asks(client, "server/discover")
        id = client.start("tools/call", meta(FORM), name="fake__sleep", arguments={"seconds": 0.5})
        said, _ = client.end()
        assert [message["id"] for message in said] == [id]


@pytest.mark.parametrize("surface, prefix", [("/mcp", "sdk__"), ("/mcp/sdk", "")])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_whole_way_by_connect(start_router, era, surface, prefix):
    running = start_router({"sdk": sdk(era)})
    with commanded("--connect", running.url + surface) as client:
        assert "2026-07-28" in asks(client, "server/discover")["supportedVersions"]
        answer = is_asked_and_answers(client, prefix)
        assert json.loads(answer["content"][0]["text"]) == {"elicitation": ADA}
        listen = client.start(LISTEN, meta({}), notifications={"toolsListChanged": True})
        assert client.hear()["method"] == "notifications/subscriptions/acknowledged"
        client.start("tools/call", meta({}), name=f"{prefix}change",
                     arguments={"kind": "tools"})
        got = [client.hear(), client.hear()]
        (changed,) = [message for message in got if "method" in message]
        assert changed["method"] == "notifications/tools/list_changed"
        assert changed["params"]["_meta"] == {f"{META}subscriptionId": listen}
        assert health(running)["sessions"] == 1
        client.say({"method": "notifications/cancelled", "params": {"requestId": listen}})
        assert wait_until(lambda: health(running)["sessions"] == 0)
        again = client.start(LISTEN, meta({}), notifications={"toolsListChanged": True})
        assert client.hear()["params"]["_meta"] == {f"{META}subscriptionId": again}
    assert wait_until(lambda: health(running)["sessions"] == 0)


def health(running):
    with urllib.request.urlopen(f"{running.url}/health") as answer:
        return json.load(answer)


def test_a_call_that_is_cancelled_on_the_way_by_connect_is_cancelled_at_its_server(start_router):
    running = start_router({"fake": fake()})
    with commanded("--connect", running.url + "/mcp/fake") as client:
        asks(client, "server/discover")
        id = client.start("tools/call", meta(FORM), name="wait")
        assert wait_until(lambda: health(running)["callsInFlight"] == 1)
        client.say({"method": "notifications/cancelled", "params": {"requestId": id}})
        assert wait_until(lambda: health(running)["callsInFlight"] == 0)
        assert [tool["name"] for tool in asks(client, "tools/list")["tools"]]


def test_a_parked_call_is_lost_with_its_router_and_the_next_one_works(start_router):
    running = start_router({"sdk": sdk("legacy")})
    with commanded("--connect", running.url + "/mcp/sdk") as client:
        call = {"name": "ask", "arguments": {"kinds": ["elicitation"]}}
        answer = asks(client, "tools/call", **call)
        assert health(running)["parkedCalls"] == 1
        port = int(running.url.rpartition(":")[2])
        running.stop()
        start_router({"sdk": sdk("legacy")}, port=port)
        (key,) = answer["inputRequests"]
        retry = {"requestState": answer["requestState"], "inputResponses": {key: ADA}}
        assert wait_until(lambda: asks(client, "tools/call", **call, **retry)["code"] == -32602)
        answer = is_asked_and_answers(client, "")
        assert json.loads(answer["content"][0]["text"]) == {"elicitation": ADA}


def test_connect_passes_modern_requests_to_a_remote_server_as_they_are():
    def called(handler):
        state = handler.message["params"].get("requestState")
        handler.answers({"resultType": "complete", "content": []} if state else {
            "resultType": "input_required", "requestState": "as it is: \u2028",
            "inputRequests": {"who": {"method": "roots/list"}}})
    with far_server({"tools/call": called}) as url, commanded("--connect", url) as client:
        answer = asks(client, "tools/call", name="t\u00e9", arguments={"x": 1})
        assert answer["requestState"] == "as it is: \u2028"
        answer = asks(client, "tools/call", name="t\u00e9", arguments={"x": 1},
                      requestState=answer["requestState"], inputResponses={"who": {"roots": []}})
        assert answer == {"resultType": "complete", "content": []}
