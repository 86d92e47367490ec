"""A server made with the official Python SDK, for the tests: python sdk_server.py MODE [SCHEME].

    legacy     speaks the revisions with `initialize` only, and has no `server/discover`
    modern     speaks revision 2026-07-28 only, and refuses `initialize` with -32022
    both       speaks the era of the first request that it gets, as the SDK does it

All its tools, prompts and resources work in both eras. What differs is how it asks its client
(`answers`) and how it tells of a change (`tell`). The URIs of its resources have this scheme, or
`sdk`: so the resources of several such servers differ.
"""

import asyncio
import json
import os
import sys
import warnings

import anyio
import mcp_types as types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.runner import _serve_modern_stream, serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (InMemorySubscriptionBus, ListenHandler, PromptsListChanged,
                                      ResourcesListChanged, ResourceUpdated, ToolsListChanged)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.subscriptions import event_to_notification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

SCHEME = sys.argv[2] if __name__ == "__main__" and sys.argv[2:] else "sdk"
NOTE = f"{SCHEME}://note"           # says how often it was updated
SECRET = f"{SCHEME}://secret"       # asks before it is shown
TEMPLATE = SCHEME + "://greeting/{name}"
CHANGES = {"tools": ToolsListChanged(), "prompts": PromptsListChanged(),
           "resources": ResourcesListChanged()}
QUESTIONS = {
    "elicitation": (types.ElicitResult, types.ElicitRequest(params=types.ElicitRequestFormParams(
        message="What is your name?", requested_schema={
            "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}))),
    "sampling": (types.CreateMessageResult, types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(max_tokens=100, messages=[types.SamplingMessage(
            role="user", content=types.TextContent(type="text", text="Say something."))]))),
    "roots": (types.ListRootsResult, types.ListRootsRequest()),
}

bus = InMemorySubscriptionBus()
listening = ListenHandler(bus)
grown = set()           # the kinds of lists that have one more entry now
subscribed = set()      # URIs, by resources/subscribe
updates = 0


def is_modern(ctx):
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


async def answers(ctx, params, kinds, rounds=1):
    """{kind: what the client answered}, or the InputRequiredResult that asks for it.

    A modern client is asked in so many rounds; without kinds it gets nothing but a state to come
    back with. The state is the number of rounds so far; the SDK signs it, and refuses another.
    """
    for kind in kinds:
        if not getattr(ctx.session.client_capabilities, kind, None):
            raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, f"The client has no {kind}.",
                           {"requiredCapabilities": {kind: {}}})
    if not is_modern(ctx):
        related = ServerMessageMetadata(related_request_id=ctx.request_id)
        return {kind: await ctx.session.send_request(question, result, metadata=related)
                for kind, (result, question) in QUESTIONS.items() if kind in kinds}
    done, heard = int(params.request_state or 0), params.input_responses or {}
    missing = [kind for kind in kinds if kind not in heard]
    if done >= rounds and not missing:
        return {kind: heard[kind] for kind in kinds}
    asked = {kind: QUESTIONS[kind][1] for kind in (missing or kinds)}
    return types.InputRequiredResult(input_requests=asked or None,
                                     request_state=str(min(done + 1, rounds)))


async def tell(ctx, event):
    """Tell of a change: modern clients that listen for it, or the one legacy client."""
    if is_modern(ctx):
        await bus.publish(event)
    elif not isinstance(event, ResourceUpdated) or event.uri in subscribed:
        await ctx.session.send_notification(event_to_notification(event, {}))


def text(words):
    return [types.TextContent(type="text", text=words)]


def dump(found):
    return json.dumps({kind: answer.model_dump(mode="json", by_alias=True, exclude_none=True)
                       for kind, answer in found.items()}, sort_keys=True)


# -- tools: the function gets (ctx, params, **arguments) and returns content, or asks


async def echo(ctx, params, text):
    return text


async def show(ctx, params):
    """Returns content of every kind, with what may be said beside it."""
    notes = types.Annotations(audience=["user"], priority=0.5)
    contents = {"uri": f"{SCHEME}://shown", "mime_type": "text/plain"}
    return types.CallToolResult(_meta={"sdk.example/shown": True}, content=[
        types.TextContent(type="text", text="shown", annotations=notes),
        types.ImageContent(type="image", data="aW1hZ2U=", mime_type="image/png"),
        types.AudioContent(type="audio", data="c291bmQ=", mime_type="audio/wav"),
        types.ResourceLink(type="resource_link", name="note", uri=NOTE, size=9),
        types.EmbeddedResource(type="resource", resource=types.TextResourceContents(
            text="inside", **contents)),
        types.EmbeddedResource(type="resource", resource=types.BlobResourceContents(
            blob="YmxvYg==", **contents))])


async def weigh(ctx, params, things):
    """Returns structured content, of which the tool says the schema."""
    return types.CallToolResult(content=text("weighed"), structured_content={
        "weights": {thing: len(thing) / 4 for thing in things}, "heavy": None, "most": 2**53})


async def progress(ctx, params, steps):
    """Tells so many steps, then returns."""
    for step in range(1, steps + 1):
        await ctx.session.report_progress(step, steps, f"step {step}")
    return f"{steps} steps"


async def log(ctx, params, level, text):
    """Logs one line."""
    await ctx.session.send_log_message(level, text, related_request_id=ctx.request_id)
    return "logged"


async def ask(ctx, params, kinds=("elicitation",), rounds=1):
    """Asks: any of elicitation, sampling, roots; or nothing, and only returns a state."""
    return await answers(ctx, params, kinds, rounds)


async def fail(ctx, params, code=0):
    """Fails: with a JSON-RPC error of that code, or else with a result that is an error."""
    if code:
        raise MCPError(code, "failed as told", {"told": True})
    raise ValueError("failed as told")


async def wait(ctx, params):
    """Never returns, but can be cancelled, and says so on stderr."""
    await ctx.session.report_progress(0, 1, "waiting")
    try:
        await anyio.sleep_forever()
    finally:
        print("cancelled", file=sys.stderr, flush=True)


async def change(ctx, params, kind):
    """Adds an entry to a list (tools, prompts, resources), or removes it, and tells of it."""
    grown.symmetric_difference_update({kind})
    await tell(ctx, CHANGES[kind])
    return "changed"


async def update(ctx, params, uri=NOTE):
    """Updates a resource, and tells of it."""
    global updates
    updates += 1
    await tell(ctx, ResourceUpdated(uri))
    return "updated"


async def end_listening(ctx, params):
    """Ends all subscriptions/listen in good order."""
    listening.close()
    return "ended"


async def crash(ctx, params):
    """Ends the process at once."""
    os._exit(7)


STRING, NUMBER = {"type": "string"}, {"type": "integer"}
TOOLS = {
    "echo": (echo, {"text": STRING}),
    "show": (show, {}),
    "weigh": (weigh, {"things": {"type": "array", "items": STRING}}),
    "progress": (progress, {"steps": NUMBER}),
    "log": (log, {"level": STRING, "text": STRING}),
    "ask": (ask, {"kinds": {"type": "array", "items": {"enum": list(QUESTIONS)}},
                  "rounds": NUMBER}),
    "fail": (fail, {"code": NUMBER}),
    "wait": (wait, {}),
    "change": (change, {"kind": {"enum": list(CHANGES)}}),
    "update": (update, {"uri": STRING}),
    "end_listening": (end_listening, {}),
    "crash": (crash, {}),
}
OUTPUTS = {"weigh": {"type": "object", "required": ["weights"], "properties": {
    "weights": {"type": "object", "additionalProperties": {"type": "number"}}}}}


async def list_tools(ctx, params):
    tools = [types.Tool(name=name, description=function.__doc__, input_schema={
        "type": "object", "properties": properties}, output_schema=OUTPUTS.get(name))
        for name, (function, properties) in TOOLS.items()]
    if "tools" in grown:
        tools.append(types.Tool(name="grown", input_schema={"type": "object"}))
    return types.ListToolsResult(tools=tools)


async def call_tool(ctx, params):
    if params.name not in TOOLS:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
    try:
        found = await TOOLS[params.name][0](ctx, params, **(params.arguments or {}))
    except (TypeError, ValueError) as problem:
        return types.CallToolResult(content=text(str(problem)), is_error=True)
    if isinstance(found, (types.InputRequiredResult, types.CallToolResult)):
        return found
    return types.CallToolResult(content=text(found if isinstance(found, str) else dump(found)))


# -- prompts


async def list_prompts(ctx, params):
    prompts = [
        types.Prompt(name="greet", arguments=[types.PromptArgument(name="name", required=True)]),
        types.Prompt(name="interview", description="Asks for a name first.")]
    if "prompts" in grown:
        prompts.append(types.Prompt(name="grown"))
    return types.ListPromptsResult(prompts=prompts)


async def get_prompt(ctx, params):
    words = f"Greet {(params.arguments or {}).get('name')}."
    if params.name == "interview":
        found = await answers(ctx, params, ["elicitation"])
        if isinstance(found, types.InputRequiredResult):
            return found
        words = dump(found)
    elif params.name != "greet":
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return types.GetPromptResult(messages=[
        types.PromptMessage(role="user", content=text(words)[0])])


async def complete(ctx, params):
    names = [name for name in ("Ada", "Alan", "Bob") if name.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=names, total=len(names)))


# -- resources


async def list_resources(ctx, params):
    resources = [types.Resource(uri=NOTE, name="note"), types.Resource(uri=SECRET, name="secret")]
    if "resources" in grown:
        resources.append(types.Resource(uri=f"{SCHEME}://grown", name="grown"))
    return types.ListResourcesResult(resources=resources)


async def list_templates(ctx, params):
    return types.ListResourceTemplatesResult(resource_templates=[
        types.ResourceTemplate(uri_template=TEMPLATE, name="greeting")])


async def read_resource(ctx, params):
    uri, greeting = params.uri, TEMPLATE.split("{")[0]
    if uri == SECRET:
        found = await answers(ctx, params, ["elicitation"])
        if isinstance(found, types.InputRequiredResult):
            return found
        words = dump(found)
    elif uri == NOTE:
        words = f"{updates} updates"
    elif uri.startswith(greeting):
        words = f"Hello, {uri[len(greeting):]}."
    else:
        raise MCPError(types.INVALID_PARAMS if is_modern(ctx) else -32002, "Resource not found",
                       {"uri": uri})
    return types.ReadResourceResult(contents=[
        types.TextResourceContents(uri=uri, mime_type="text/plain", text=words)])


async def subscribe(ctx, params):
    subscribed.add(params.uri)
    return types.EmptyResult()


async def unsubscribe(ctx, params):
    subscribed.discard(params.uri)
    return types.EmptyResult()


async def set_level(ctx, params):
    return types.EmptyResult()  # the client filters


def make_server(mode):
    server = Server(
        "sdk", version="1", instructions=f"Speaks {mode}.", on_list_tools=list_tools,
        on_call_tool=call_tool, on_list_prompts=list_prompts, on_get_prompt=get_prompt,
        on_completion=complete, on_list_resources=list_resources,
        on_list_resource_templates=list_templates, on_read_resource=read_resource,
        on_subscribe_resource=subscribe, on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=listening, on_set_logging_level=set_level)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(),
                                                  default_audience="sdk"))
    return server


async def main(mode):
    server = make_server(mode)
    options = server.create_initialization_options(NotificationOptions(
        prompts_changed=True, resources_changed=True, tools_changed=True))
    async with stdio_server() as (read, write):
        if mode == "both":
            await server.run(read, write, options)
        elif mode == "legacy":  # the SDK has no switch for one era, but this is what it would do
            await serve_loop(server, read, write, lifespan_state={}, init_options=options)
        else:
            await _serve_modern_stream(server, read, write, lifespan_state={},
                                       raise_exceptions=False)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the SDK warns of all that is deprecated
    asyncio.run(main(sys.argv[1]))
