"""Groups over Streamable HTTP, whose sessions belong to one path."""

from by_hand import HELLO
from processes import fake
from streamable_by_hand import Http

GROUPS = {"code": ["two", "one"], "web": ["three", "one"]}
SERVERS = ("one", "two", "three")


def test_a_session_of_a_group_is_unknown_at_any_other_path(start_router):
    running = start_router({name: fake() for name in SERVERS}, groups=GROUPS)
    assert any(line.endswith("one server or group (code, web): /mcp/NAME or /sse/NAME")
               for line in running.lines)
    client = Http(running, "/mcp/code")
    for path in ("/mcp", "/mcp/web", "/mcp/one"):
        client.path = path
        assert client.post({"id": 1, "method": "ping"})[0] == 404
    client.path = "/mcp/code"
    assert client.post({"id": 1, "method": "ping"})[0] == 200


def test_with_one_group_no_other_one_is_there(start_router):
    running = start_router({name: fake() for name in SERVERS}, "--group", "code", groups=GROUPS)
    assert Http(running, "/mcp/code").id
    assert Http(running, "/mcp/web", hello=None).post(HELLO)[0] == 404
