"""Clients of both eras at /mcp: which request is of which, and that none is taken for one of the
other. transports/http/streamable stands behind."""

import json

import pytest
from modern_by_hand import Played, asks, calls, error_of, post

from transports.fabric.messages import VERSION_KEY
from transports.http.replies import BY_WORKER

from played_connection import Connection, parsed, posted
from streamable_by_hand import HELLO
from world import World, offers

streamable = pytest.importorskip("transports.http.streamable.streamable")
LEGACY = {"Mcp_Method": None, "Mcp_Name": None}


@pytest.fixture
def played():
    return Played(World(a=offers(tools=["t"])), streamable.StreamableHttp)


def begins(played, version=None, **meta):
    """The id of a new session; None if `initialize` was refused."""
    hello = {"jsonrpc": "2.0", **HELLO}
    if meta:
        hello["params"] = {**hello["params"], "_meta": meta}
    connection = played.posts(hello, MCP_Protocol_Version=version, **LEGACY)
    for reply in connection.answers:
        return dict(reply.headers).get("Mcp-Session-Id")


def legacy(played, id, message, version="2025-11-25"):
    return played.answer({"jsonrpc": "2.0", **message}, Mcp_Session_Id=id,
                         MCP_Protocol_Version=version, **LEGACY)


@pytest.mark.parametrize("version", [None, "2025-11-25", "2025-03-26", "2026-07-28", "2099-01-01",
                                     "1900-01-01", ""])
def test_initialize_begins_a_session_whatever_its_header_says(played, version):
    id = begins(played, version)
    assert legacy(played, id, {"method": "notifications/initialized"})[0] == 202
    status, answer = legacy(played, id, {"id": 1, "method": "tools/list"})
    assert status == 200 and "resultType" not in answer["result"]


def test_initialize_that_names_its_own_version_in_its_meta_begins_a_session(played):
    assert begins(played, "2025-11-25", **{VERSION_KEY: "2025-11-25"})
    assert begins(played, None, **{VERSION_KEY: 5})
    assert begins(played, None, **{VERSION_KEY: "2026-07-28"}) is None


@pytest.mark.parametrize("version, code", [
    ("2026-07-28", -32602), ("2099-01-01", -32022), ("DRAFT-2027", -32022)])
def test_a_header_of_this_era_or_a_later_one_is_never_taken_for_one_of_a_session(
        played, version, code):
    id = begins(played)
    assert error_of(legacy(played, id, {"id": 1, "method": "tools/list"}, version)) == (400, code)
    assert legacy(played, id, {"id": 1, "method": "tools/list"})[0] == 200


def test_a_client_that_has_a_session_may_ask_without_it(played):
    id = begins(played)
    assert legacy(played, id, {"method": "notifications/initialized"})[0] == 202
    for _ in range(2):
        assert legacy(played, id, {"id": 1, "method": "tools/list"})[0] == 200
        status, answer = played.answer(asks("tools/list"), Mcp_Session_Id=id)
        assert status == 200 and answer["result"]["resultType"] == "complete"
    waits = played.posts(calls("a__t", id=1), Mcp_Session_Id=id)
    waits.breaks()      # which ends nothing but this
    assert legacy(played, id, {"id": 1, "method": "tools/list"})[0] == 200


def test_a_session_of_this_era_is_none_that_could_be_named(played):
    waits = played.posts(calls("a__t"))
    (session,) = played.world.router.sessions.all()
    assert legacy(played, session.id, {"id": 1, "method": "tools/list"})[0] == 404
    assert waits.answers == []


@pytest.mark.parametrize("version", [None, "2025-11-25"])
def test_without_a_session_the_body_says_the_era(played, version):
    modern = played.answer(asks("tools/list"), MCP_Protocol_Version=version)
    assert error_of(modern) == (400, -32020)
    status, answer = legacy(played, None, {"id": 1, "method": "tools/list"}, version)
    assert status == 400 and "begin with initialize" in answer["error"]["message"]


def test_a_body_that_escapes_its_slashes_says_it_too(played):
    body = json.dumps(asks("tools/list")).replace("/", "\\/").encode()
    assert error_of(played.answer(asks("tools/list"), body=body, MCP_Protocol_Version=None)) == (
        400, -32020)
    assert played.answer(asks("tools/list"), body=body)[0] == 200


def test_a_text_that_looks_like_the_key_says_nothing(played):
    id = begins(played)
    assert legacy(played, id, {"method": "notifications/initialized"})[0] == 202
    connection = played.posts({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "a__t", "arguments": {VERSION_KEY: "2026-07-28"}}}, Mcp_Session_Id=id,
        MCP_Protocol_Version=None, **LEGACY)
    assert connection.reply is None and played.world["a"].take()["method"] == "tools/call"
    text = {"id": 1, "method": "x", "params": {"text": VERSION_KEY}}
    assert "begin with initialize" in str(legacy(played, None, text, None))


def test_what_cannot_be_read_is_answered_in_the_era_of_its_header(played):
    for version in None, "2025-11-25", "2026-07-28":
        for body in b"{", VERSION_KEY.encode(), b'"initialize', b"":
            connection = played.posts(None, body=body, MCP_Protocol_Version=version)
            assert error_of(played.answered(connection)) == (400, -32700)


@pytest.mark.parametrize("more, quick", [
    ({}, True), ({"Mcp_Session_Id": "x"}, True), ({"MCP_Protocol_Version": None}, True),
    ({"MCP_Protocol_Version": "2025-11-25", "Mcp_Session_Id": "x"}, False),
])
def test_a_request_that_waits_for_no_start_is_one_for_the_first_thread(played, more, quick):
    assert (posted(played.way, parsed(post(asks("tools/list"), **more)), Connection(), True)
            is not BY_WORKER) == quick


def test_initialize_is_none_for_the_first_thread(played):
    for version in None, "2026-07-28":
        hello = parsed(post({"jsonrpc": "2.0", **HELLO}, MCP_Protocol_Version=version))
        assert posted(played.way, hello, Connection(), True) is BY_WORKER


def test_a_session_with_a_client_that_is_silent_is_not_told_of_the_other(played):
    """What belongs to a request of this era goes to that alone."""
    id = begins(played)
    session = played.world.router.sessions.find(id)
    waits = played.posts(calls("a__t", meta={"progressToken": 1}))
    ours = played.world["a"].take()["id"]
    played.world["a"].says(method="notifications/progress",
                           params={"progressToken": ours, "progress": 1})
    played.world["a"].says(id=ours, result={})
    assert len(waits.streams) == 1 and session.outbox.last == 0 and session.streams == {}
    assert isinstance(waits, Connection)
