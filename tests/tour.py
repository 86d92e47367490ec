"""The feature tour: everything that server-everything can do, by the official Python SDK.

`tour(connect, prefix)` returns what a client gets, results and notifications, with what differs
from run to run (times, random ids) replaced. A client that goes through the router must get the
same as one that talks to the server directly.
"""

import base64
import contextlib
import re

import anyio
import mcp_types as types
from mcp import ClientSession
from mcp.shared.exceptions import MCPError

VOLATILE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}"
                      r"|\d{1,2}:\d\d:\d\d [AP]M|\d{4}-\d\d-\d\dT[\d:.]+Z")


def settled(value):
    """The value without what differs from run to run."""
    if isinstance(value, dict):
        with contextlib.suppress(KeyError, UnicodeDecodeError):  # a blob with a time in it
            value = {**value, "blob": base64.b64decode(value["blob"]).decode()}
        return {key: settled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [settled(inner) for inner in value]
    return VOLATILE.sub("<varies>", value) if isinstance(value, str) else value


class Tour:
    """One client, what it answers when it is asked, and all that it heard."""

    def __init__(self, read, write, askable=True, name="Ada"):
        self.heard, self.name = [], name
        self._arrived = anyio.Event()
        answers = dict(sampling_callback=self._sample, elicitation_callback=self._elicit,
                       list_roots_callback=self._roots) if askable else {}
        self.session = ClientSession(read, write, message_handler=self._hear,
                                     read_timeout_seconds=30, **answers)

    async def _hear(self, message):
        self.heard.append(settled(message.model_dump(mode="json", by_alias=True,
                                                     exclude_none=True)))
        self._arrived.set()
        self._arrived = anyio.Event()

    async def _sample(self, _context, params):
        asked = params.messages[0].content.text
        text = types.TextContent(type="text", text=f"{self.name} says: {asked}")
        return types.CreateMessageResult(role="assistant", model=self.name, content=text)

    async def _elicit(self, _context, params):
        if params.mode == "url":
            return types.ElicitResult(action="accept")
        return types.ElicitResult(action="accept", content={"name": self.name, "check": True})

    async def _roots(self, _context):
        return types.ListRootsResult(roots=[types.Root(uri=f"file:///home/{self.name}",
                                                       name=self.name)])

    async def ask(self, method, **params):
        """The raw answer, every field of it; an error as what it says."""
        try:
            return settled(await self.session._dispatcher.send_raw_request(
                method, params or None, {"timeout": 30}))
        except MCPError as problem:
            return {"error": settled(problem.error.model_dump(mode="json"))}

    async def until_heard(self, condition):
        """Wait until a notification is there for which condition(it) holds."""
        with anyio.fail_after(60):
            while not any(condition(message) for message in self.heard):
                await self._arrived.wait()

    def methods(self):
        return [message["method"] for message in self.heard]


async def tour(read, write, prefix="", askable=True, name="Ada"):
    """Everything; returns {what: result}."""
    guide = Tour(read, write, askable, name)
    async with guide.session as session:
        return await _tour(guide, session, prefix)


async def _tour(guide, session, prefix):
    seen = {}

    async def call(name, /, **arguments):
        seen[f"{name} {arguments}"] = answer = await guide.ask(
            "tools/call", name=prefix + name, arguments=arguments)
        return answer

    seen["initialize"] = (await session.initialize()).protocol_version
    tools = seen["tools/list"] = (await guide.ask("tools/list"))["tools"]
    names = {tool["name"].removeprefix(prefix) for tool in tools}
    seen["tools/list"] = tools = [tool for tool in tools if tool["name"].startswith(prefix)]
    for tool in tools:
        tool["name"] = tool["name"].removeprefix(prefix)
    if "get-roots-list" in names:
        # The server asks for the roots by itself, and says when it has them.
        await guide.until_heard(lambda m: "Roots updated" in str(m.get("params", {}).get("data")))
    await _plain_tools(call)
    await _progress(guide, session, prefix, seen)
    await _prompts(guide, prefix, seen)
    await _resources(guide, seen)
    await _subscriptions(guide, call)
    await _logging(guide, session, call, seen)
    if "trigger-sampling-request" in names:
        await call("trigger-sampling-request", prompt="hello", maxTokens=5)
        await call("trigger-elicitation-request")
        await call("trigger-url-elicitation", url="https://example.com/", elicitationId="e1")
        await call("trigger-url-elicitation", url="https://example.com/", errorPath=True)
        await call("get-roots-list")
        await session.send_roots_list_changed()
        await guide.until_heard(lambda _: str(guide.heard).count("Roots updated") >= 2)
    await _task(guide, prefix, seen, ambiguous="trigger-elicitation-request" in names)
    await _cancellation(guide, session, prefix, seen)
    seen["no such tool"] = "error" in str(await call("no-such-tool")).lower()
    seen["heard"] = sorted((m for m in guide.heard if "simulated" not in str(m)
                            and "-level" not in str(m) and "level-" not in str(m)), key=str)
    for key in [key for key in seen if key.startswith(("no-such-tool", "get-env"))]:
        del seen[key]  # whose words and whose environment that is differs
    return seen


async def _plain_tools(call):
    await call("echo", message="grüße 😀 \u2028 end")
    for kind in ("error", "success", "debug"):
        await call("get-annotated-message", messageType=kind, includeImage=True)
    await call("get-resource-links", count=4)
    await call("get-resource-reference", resourceType="Text", resourceId=2)
    await call("get-resource-reference", resourceType="Blob", resourceId=3)
    await call("get-structured-content", location="Chicago")
    await call("get-sum", a=2**53, b=0.5)
    await call("get-sum", a="no number")
    await call("get-tiny-image")
    await call("gzip-file-as-resource", name="a.gz", data="data:text/plain,hello",
               outputType="resource")
    assert "PATH" in str(await call("get-env"))  # which is the router's, or ours: not compared


async def _progress(guide, session, prefix, seen):
    told = []

    async def progress(done, total, text):
        told.append((done, total, text))
    await session.call_tool(prefix + "trigger-long-running-operation",
                            {"duration": 0.4, "steps": 4}, progress_callback=progress)
    seen["progress"] = told


async def _prompts(guide, prefix, seen):
    prompts = seen["prompts/list"] = (await guide.ask("prompts/list"))["prompts"]
    for prompt in prompts:
        prompt["name"] = prompt["name"].removeprefix(prefix)
    for name, arguments in {"simple-prompt": {}, "args-prompt": {"city": "Oslo", "state": "x"},
                            "completable-prompt": {"department": "Sales", "name": "David"},
                            "resource-prompt": {"resourceType": "Text", "resourceId": "1"},
                            }.items():
        seen[name] = await guide.ask("prompts/get", name=prefix + name, arguments=arguments)
        assert "messages" in seen[name], seen[name]
    seen["completion"] = await guide.ask(
        "completion/complete", ref={"type": "ref/prompt", "name": prefix + "completable-prompt"},
        argument={"name": "department", "value": "S"})
    seen["template completion"] = await guide.ask(
        "completion/complete", argument={"name": "resourceId", "value": "1"},
        ref={"type": "ref/resource", "uri": "demo://resource/dynamic/text/{resourceId}"})


async def _resources(guide, seen):
    resources = seen["resources/list"] = (await guide.ask("resources/list"))["resources"]
    for resource in resources:
        seen[resource["uri"]] = await guide.ask("resources/read", uri=resource["uri"])
        assert "contents" in seen[resource["uri"]]
    seen["templates"] = await guide.ask("resources/templates/list")
    for uri in ("demo://resource/dynamic/text/7", "demo://resource/dynamic/blob/7",
                "demo://resource/nowhere"):
        seen[uri] = await guide.ask("resources/read", uri=uri)


async def _subscriptions(guide, call):
    uri = "demo://resource/static/document/features.md"
    assert await guide.ask("resources/subscribe", uri=uri) == {}
    await call("toggle-subscriber-updates")
    await guide.until_heard(lambda m: m["method"] == "notifications/resources/updated"
                            and m["params"]["uri"] == uri)
    await call("toggle-subscriber-updates")
    assert await guide.ask("resources/unsubscribe", uri=uri) == {}


async def _logging(guide, session, call, seen):
    """Lines of random levels: what may come is known, how many is not."""
    assert await guide.ask("logging/setLevel", level="debug") == {}
    await call("toggle-simulated-logging")
    await guide.until_heard(lambda m: m["method"] == "notifications/message"
                            and re.search("-level|level-", str(m["params"]["data"])))
    await call("toggle-simulated-logging")
    seen["bad level"] = "error" in await guide.ask("logging/setLevel", level="loud")


async def _task(guide, prefix, seen, ambiguous):
    """2025-11-25, Tasks: create, ask, wait for the result, and a question on the way."""
    created = await guide.session._dispatcher.send_raw_request("tools/call", {
        "name": prefix + "simulate-research-query", "task": {"ttl": 60000},
        "arguments": {"topic": "python", "ambiguous": ambiguous}}, {"timeout": 30})
    task_id = created["task"]["taskId"]
    seen["task"] = settled(created)
    seen["tasks/list"] = [task["status"] for task in (await guide.ask("tasks/list"))["tasks"]]
    seen["tasks/get"] = (await guide.ask("tasks/get", taskId=task_id))["status"]
    seen["tasks/result"] = str(await guide.ask("tasks/result", taskId=task_id)).replace(
        task_id, "<varies>")
    seen["tasks/get at the end"] = (await guide.ask("tasks/get", taskId=task_id))["status"]


async def _cancellation(guide, session, prefix, seen):
    """The call is given up in the middle; the server hears of it, and the session goes on."""
    started, told = anyio.Event(), []

    async def progress(done, total, text):
        told.append(done)
        started.set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: session.call_tool(
            prefix + "trigger-long-running-operation", {"duration": 60, "steps": 600},
            progress_callback=progress))
        await started.wait()
        tasks.cancel_scope.cancel()
    before = len(told)
    seen["after the cancellation"] = await guide.ask("tools/call", name=prefix + "echo",
                                                     arguments={"message": "still here"})
    assert len(told) <= before + 2
