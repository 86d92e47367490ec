"""The official Python SDK on both sides: a legacy client, the router, a modern server.

Through the router a legacy client must get what a modern client gets from the server itself, over
each transport and on each surface, questions included.
"""

import contextlib
import json
import sys

import anyio
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from by_hand import get
from official import over_http
from processes import ROOT, children, modern_program, wait_until

SDK_SERVER = str(ROOT / "tests" / "sdk_server.py")
SURFACES = [("/sse/sdk", ""), ("/sse", "sdk__"), ("/mcp/sdk", ""), ("/mcp", "sdk__")]
OF_ONE_ERA = {"resultType", "ttlMs", "cacheScope", "_meta"}     # fields of results
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


def sdk(mode):
    """A config entry."""
    return {"command": sys.executable, "args": [SDK_SERVER, mode]}


class Person:
    """One client, and what it answers when it is asked."""

    def __init__(self, server, name="Ada", mode="legacy", askable=True, prefix=""):
        self.name, self.prefix = name, prefix
        self._news, self.heard = anyio.create_memory_object_stream(100)
        answers = dict(elicitation_callback=self._elicit, sampling_callback=self._sample,
                       list_roots_callback=self._roots) if askable else {}
        self.client = Client(server, mode=mode, cache=None, message_handler=self._hear,
                             log_level="info" if mode == "auto" else None,
                             client_info=types.Implementation(name=name, version="1"), **answers)

    async def _hear(self, message):
        self._news.send_nowait(message)

    async def _elicit(self, _context, _params):
        return types.ElicitResult(action="accept", content={"name": self.name})

    async def _sample(self, _context, params):
        text = f"{self.name}: {params.messages[0].content.text}"
        return types.CreateMessageResult(role="assistant", model=self.name,
                                         content=types.TextContent(type="text", text=text))

    async def _roots(self, _context):
        return types.ListRootsResult(roots=[types.Root(uri=f"file:///home/{self.name}")])

    async def call(self, tool, progress=None, /, **arguments):
        return await self.client.call_tool(self.prefix + tool, arguments,
                                           progress_callback=progress)

    async def hears(self, method, after=()):
        """The next message of the server, which must be of this method. What begins with one of
        `after` may come before."""
        with anyio.fail_after(60):
            message = await self.heard.receive()
            while message.method.startswith(("notifications/progress", *after)):
                message = await self.heard.receive()
        assert message.method == method
        return message

    @contextlib.asynccontextmanager
    async def here(self):
        async with self.client:
            with self._news, self.heard:
                yield self


def plain(result):
    return {key: value for key, value in result.model_dump(
        mode="json", by_alias=True, exclude_none=True).items() if key not in OF_ONE_ERA}


async def tour(person):
    """Everything that sdk_server.py can do but tell of changes: {what: what the client got}."""
    client, prefix, seen = person.client, person.prefix, {}

    async def see(what, awaitable):
        try:
            seen[what] = plain(await awaitable)
        except MCPError as problem:
            seen[what] = problem.error.model_dump(mode="json")

    async def progress(*step):
        seen.setdefault("progress", []).append(step)

    seen["server"] = client.server_info.name
    seen["tools"] = [tool.name.removeprefix(prefix) for tool in (await client.list_tools()).tools]
    await see("resources", client.list_resources())
    await see("templates", client.list_resource_templates())
    await see("echo", person.call("echo", text="grüße \u2028 😀"))
    await see("steps", person.call("progress", progress, steps=3))
    await see("an error", person.call("fail", code=1234))
    await see("a failure", person.call("fail"))
    await see("log", person.call("log", level="warning", text="a line"))
    # A server that is up later than the answer to initialize is news.
    seen["logged"] = (await person.hears("notifications/message", after=[
        f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")
    ])).params.data
    for kinds in (["elicitation"], ["sampling", "roots"], ["elicitation", "sampling", "roots"]):
        await see(f"ask {kinds}", person.call("ask", kinds=kinds))
    await see("ask in rounds", person.call("ask", kinds=["roots"], rounds=4))
    await see("ask nothing", person.call("ask", kinds=[], rounds=3))
    await see("prompt", client.get_prompt(prefix + "greet", {"name": "Ada"}))
    await see("prompt that asks", client.get_prompt(prefix + "interview"))
    for uri in ("sdk://secret", "sdk://greeting/Ada"):
        await see(uri, client.read_resource(uri))
    await see("complete", client.complete(
        types.PromptReference(type="ref/prompt", name=prefix + "greet"),
        {"name": "name", "value": "A"}))
    return seen


def travel(server, mode="legacy", **more):
    async def main():
        with anyio.fail_after(120):
            async with Person(server, mode=mode, **more).here() as person:
                if mode == "legacy":
                    await person.client.set_logging_level("info")
                return await tour(person)
    return anyio.run(main)


@pytest.fixture(scope="module", params=["modern", "both"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def direct(mode):
    """{askable: what a modern client gets that talks to the server itself}."""
    return {askable: travel(StdioServerParameters(**sdk(mode)), "auto", askable=askable)
            for askable in (True, False)}


@pytest.mark.parametrize("askable", [True, False], ids=["askable", "quiet"])
@pytest.mark.parametrize("path, prefix", SURFACES)
def test_a_legacy_client_gets_over_http_what_a_modern_one_gets_from_the_server(
        start_router, mode, direct, path, prefix, askable):
    running = start_router({"sdk": sdk(mode)})
    seen = travel(over_http(running.url + path), askable=askable, prefix=prefix)
    assert json.dumps(seen, indent=1) == json.dumps(
        {**direct[askable], **({"server": "mcp-local-router"} if prefix else {})}, indent=1)


def test_likewise_over_stdio(start_router, mode, direct):
    config = start_router({"sdk": sdk(mode)}).config
    seen = travel(StdioServerParameters(command=sys.executable, args=[
        str(ROOT / "router.py"), "--config", str(config), "--log-level", "error"]), prefix="sdk__")
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
        with anyio.fail_after(120):
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
    # The router's table does not wait for slow ones, and they run before they have listed.
    up = dict.fromkeys(("context7", "mongodb"), ("running", "2026-07-28", True))
    wait_until(lambda: seen() == up, 60)
    assert seen() == up
