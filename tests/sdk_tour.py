"""The tour of sdk_server.py: everything that it can do, by the official Python SDK.

A client that goes through the router must get the same as one that talks to the server itself. So
`travel` returns what a client gets; `of_any_era` leaves out what only one era has.
"""

import contextlib
import sys

import anyio
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from processes import ROOT

OF_ONE_ERA = {"resultType", "ttlMs", "cacheScope"}      # fields of results


def sdk(mode, scheme="sdk"):
    """A config entry."""
    return {"command": sys.executable,
            "args": [str(ROOT / "tests" / "sdk_server.py"), mode, scheme]}


def over_stdio(config):
    """A router that serves only this client, over stdio."""
    return StdioServerParameters(command=sys.executable, args=[
        str(ROOT / "router.py"), "--config", str(config), "--log-level", "error"])


class Person:
    """One client, and what it answers when it is asked."""

    def __init__(self, server, name="Ada", mode="legacy", askable=True, prefix="", scheme="sdk"):
        self.name, self.prefix, self.scheme, self._mode = name, prefix, scheme, mode
        self._news, self.heard = anyio.create_memory_object_stream(100)
        answers = dict(elicitation_callback=self._elicit, sampling_callback=self._sample,
                       list_roots_callback=self._roots) if askable else {}
        self.client = Client(server, mode=mode, cache=None, message_handler=self._hear,
                             log_level=None if mode == "legacy" else "info",
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
        with self._news, self.heard:
            async with self.client:
                if self._mode == "legacy":
                    await self.client.set_logging_level("info")
                yield self


def dumped(result):
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def of_any_era(seen):
    """{what: result} without what only one era has: some fields, and keys of `_meta`."""
    def plain(result):
        if not isinstance(result, dict):
            return result
        meta = {key: value for key, value in result.get("_meta", {}).items()
                if not key.startswith("io.modelcontextprotocol/")}
        common = {key: value for key, value in result.items()
                  if key not in OF_ONE_ERA and key != "_meta"}
        return {**common, **({"_meta": meta} if meta else {})}
    return {what: plain(result) for what, result in seen.items()}


async def tour(person):
    """Everything that the server can do but tell of changes: {what: what the client got}."""
    client, prefix, scheme, seen = person.client, person.prefix, person.scheme, {}

    async def see(what, awaitable):
        try:
            seen[what] = dumped(await awaitable)
        except MCPError as problem:
            seen[what] = problem.error.model_dump(mode="json")

    async def see_list(what, awaitable):
        """Of all servers together, only what is of this one, without its prefix."""
        await see(what, awaitable)
        seen[what][what] = [{**one, "name": one["name"].removeprefix(prefix)}
                            for one in seen[what][what] if one["name"].startswith(prefix)
                            or one.get("uri", one.get("uriTemplate", "")).startswith(scheme)]

    async def progress(*step):
        seen.setdefault("progress", []).append(step)

    seen["server"] = client.server_info and client.server_info.name
    await see_list("tools", client.list_tools())
    await see_list("prompts", client.list_prompts())
    await see_list("resources", client.list_resources())
    await see_list("resourceTemplates", client.list_resource_templates())
    await see("echo", person.call("echo", text="grüße \u2028 😀"))
    await see("show", person.call("show"))
    await see("weigh", person.call("weigh", things=["feather", "stone"]))
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
    for uri in (f"{scheme}://secret", f"{scheme}://greeting/Ada"):
        await see(uri, client.read_resource(uri))
    await see("complete", client.complete(
        types.PromptReference(type="ref/prompt", name=prefix + "greet"),
        {"name": "name", "value": "A"}))
    await see("complete a URI", client.complete(
        types.ResourceTemplateReference(type="ref/resource", uri=scheme + "://greeting/{name}"),
        {"name": "name", "value": "Al"}))
    await give_up(person)
    await see("after what was given up", person.call("echo", text="still here"))
    return seen


async def give_up(person):
    """Cancel a call in the middle: the server says "cancelled" on its stderr."""
    started = anyio.Event()

    async def progress(*_):
        started.set()
    async with anyio.create_task_group() as group:
        group.start_soon(person.call, "wait", progress)
        await started.wait()
        group.cancel_scope.cancel()


def travel(server, mode="legacy", **more):
    """What a client gets; it must be a client of this era at the end, too."""
    async def main():
        with anyio.fail_after(120):
            async with Person(server, mode=mode, **more).here() as person:
                assert (person.client.protocol_version == "2026-07-28") == (mode != "legacy")
                return await tour(person)
    return anyio.run(main)
