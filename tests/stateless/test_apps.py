"""MCP Apps (the extension io.modelcontextprotocol/ui): a host shows a page of the server with the
results of a tool. All of it passes as it is."""

import pytest
from modern_client import FORM, META, TASKS, BothEras, legacy, modern, modern_client

UI = {META + "ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}
PAGE = "ui://clock/page.html"
CLOCK = {"name": "clock", "_meta": {"ui": {"resourceUri": PAGE, "visibility": ["model", "app"]},
                                    "ui/resourceUri": PAGE}}
SHOWS = {"extensions": UI}
OFFERS = {"tools": [CLOCK], "resources": [PAGE], "capabilities": {"extensions": UI}}
each_server = pytest.mark.parametrize("server", [legacy, modern])
each_surface = pytest.mark.parametrize("name", ["a", None])


@each_server
@each_surface
def test_clients_of_both_eras_are_told_that_a_server_has_pages(server, name):
    world = BothEras(a=server(**OFFERS))
    assert modern_client(world, name).asks("server/discover").answer[
        "capabilities"]["extensions"] == UI
    assert world.new_client(name).initialize()["capabilities"]["extensions"] == UI


def test_a_modern_server_is_told_which_clients_show_pages():
    world = BothEras(a=modern(**OFFERS))
    modern_client(world, "a", SHOWS).asks("tools/call", name="clock")
    world.client("a", SHOWS).asks("tools/call", name="clock")
    for message in world["a"].takes():
        assert message["params"]["_meta"][META + "clientCapabilities"] == SHOWS


def test_a_legacy_server_is_told_so_of_clients_that_have_a_process():
    world = BothEras(a=legacy(**OFFERS))
    both = {"extensions": {**UI, **TASKS["extensions"]}, **FORM}
    modern_client(world, "a", both).asks("tools/call", name="clock")
    assert world.made[-1].initialize["params"]["capabilities"] == {**SHOWS, **FORM}
    world.client("a", {**SHOWS, **FORM}).asks("tools/call", name="clock")
    assert world.made[-1].initialize["params"]["capabilities"] == {**SHOWS, **FORM}
    assert len(world.made) == 3


@each_server
@each_surface
def test_where_a_tools_page_is_stays_as_it_is_and_the_page_is_read_there(server, name):
    world = BothEras(a=server(**OFFERS), b=modern(tools=["other"], resources=["x:/"]))
    client = modern_client(world, name)
    listed = client.asks("tools/list").answer["tools"][0]
    assert listed == {**CLOCK, "name": "clock" if name else "a__clock"}
    asked = client.asks("resources/read", uri=PAGE)
    page = {"uri": PAGE, "mimeType": "text/html;profile=mcp-app", "text": "<p>",
            "_meta": {"ui": {"csp": {"connectDomains": ["https://example.com"]}}}}
    sent = world["a"].take()
    assert sent["params"]["uri"] == PAGE
    world["a"].says(id=sent["id"], result={"contents": [page]})
    assert asked.answer["contents"] == [page]


@each_server
def test_a_page_calls_a_tool_by_the_name_that_its_server_has_for_it(server):
    world = BothEras(a=server(**OFFERS), b=modern(tools=["other"]))
    modern_client(world).asks("tools/call", name="clock")
    assert world["a"].take()["params"]["name"] == "clock"
    modern_client(world).asks("tools/call", name="other")
    assert world["b"].take()["params"]["name"] == "other"


def test_a_name_that_two_servers_have_is_refused_with_both():
    world = BothEras(a=legacy(**OFFERS), b=modern(**OFFERS))
    error = modern_client(world).asks("tools/call", name="clock").answer
    assert error == {"code": -32602,
                     "message": "Unknown tool: clock (several servers have it: a, b)"}


def test_a_result_with_something_for_the_page_alone_passes():
    world = BothEras(a=modern(**OFFERS))
    asked = modern_client(world).asks("tools/call", name="a__clock")
    value = {"content": [], "structuredContent": {"x": 1}, "_meta": {"for the page": 2}}
    world["a"].says(id=world["a"].take()["id"], result=value)
    got = asked.get()["result"]
    assert got["structuredContent"] == {"x": 1} and got["_meta"]["for the page"] == 2


def test_the_log_says_that_two_servers_have_a_page_of_the_same_uri(caplog):
    world = BothEras(a=legacy(**OFFERS), b=modern(**OFFERS))
    modern_client(world).asks("tools/list")
    assert f"the page '{PAGE}' of server \"b\": a server before it in the config has one of " \
        "this URI, which may be shown in its place" in caplog.text
