"""The official Python SDK on both sides: a legacy client, the router, a modern server.

Through the router a legacy client must get what a modern client gets from the server itself, over
each transport and on each surface, questions included.
"""

import json

import anyio
import pytest
from mcp import StdioServerParameters

from by_hand import get
from official import over_http
from processes import children, modern_program, wait_until
from sdk_tour import Person, of_any_era, over_stdio, sdk, travel

SURFACES = [("/sse/sdk", ""), ("/sse", "sdk__"), ("/mcp/sdk", ""), ("/mcp", "sdk__")]
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


@pytest.fixture(scope="module", params=["modern", "both"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def direct(mode):
    """{askable: what a modern client gets that talks to the server itself}."""
    return {askable: of_any_era(travel(StdioServerParameters(**sdk(mode)), "auto",
                                       askable=askable)) for askable in (True, False)}


@pytest.mark.parametrize("askable", [True, False], ids=["askable", "quiet"])
@pytest.mark.parametrize("path, prefix", SURFACES)
def test_a_legacy_client_gets_over_http_what_a_modern_one_gets_from_the_server(
        start_router, mode, direct, path, prefix, askable):
    running = start_router({"sdk": sdk(mode)})
    seen = of_any_era(travel(over_http(running.url + path), askable=askable, prefix=prefix))
    assert json.dumps(seen, indent=1) == json.dumps(
        {**direct[askable], **({"server": "mcp-local-router"} if prefix else {})}, indent=1)


def test_likewise_over_stdio(start_router, mode, direct):
    config = start_router({"sdk": sdk(mode)}).config
    seen = of_any_era(travel(over_stdio(config), prefix="sdk__"))
    assert seen == {**direct[True], "server": "mcp-local-router"}


@pytest.mark.parametrize("path, prefix", SURFACES)
def test_twenty_clients_share_one_process_and_each_is_asked_only_its_own(
        start_router, mode, path, prefix):
    running = start_router({"sdk": sdk(mode)})
    before = children(running.process.pid)

    async def one(name):
        async with Person(over_http(running.url + path), name, prefix=prefix).here() as person:
            for _ in range(3):
                answer = await person.call("ask", kinds=["elicitation", "sampling", "roots"])
                asked = json.loads(answer.content[0].text)
                assert asked["elicitation"]["content"] == {"name": name}
                assert asked["sampling"]["model"] == name
                assert asked["roots"]["roots"] == [{"uri": f"file:///home/{name}"}]

    async def main():
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(one, f"client-{number}")
    anyio.run(main)
    assert children(running.process.pid) == before


@pytest.mark.parametrize("path, prefix", SURFACES)
def test_what_changes_is_told_once_to_whoever_wants_to_hear_it(start_router, mode, path, prefix):
    running = start_router({"sdk": sdk(mode)})

    async def main():
        async with Person(over_http(running.url + path), prefix=prefix).here() as one, \
                Person(over_http(running.url + path), prefix=prefix).here() as other:
            await one.client.list_tools()
            await one.client.subscribe_resource("sdk://note")
            await other.call("change", kind="tools")
            await other.call("update")
            await one.hears("notifications/tools/list_changed")
            updated = await one.hears("notifications/resources/updated")
            assert updated.params.uri == "sdk://note"
            tools = (await one.client.list_tools()).tools
            assert prefix + "grown" in [tool.name for tool in tools]
            await one.client.unsubscribe_resource("sdk://note")
            await other.call("update")
            await other.call("change", kind="tools")
            for person in (one, other):  # since the SDK lists the tools when it has called one
                await person.hears("notifications/tools/list_changed")
    anyio.run(main)


def test_popular_servers_of_the_new_revision_start_and_list_without_network(start_router):
    running = start_router({
        "context7": {"command": modern_program("context7-mcp")},
        "mongodb": {"command": modern_program("mongodb-mcp-server")}})

    def seen():
        return {name: (server["state"], server["revision"], server["tools"] > 0) for name, server
                in json.loads(get(f"{running.url}/health")[1])["servers"].items()}
    # The router's table does not wait for slow ones; one that is up has yet to list.
    up = dict.fromkeys(("context7", "mongodb"), ("running", "2026-07-28", True))
    wait_until(lambda: seen() == up, 60)
    assert seen() == up
