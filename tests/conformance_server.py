"""What the official conformance suite asks for by name, on the official Python SDK.

It speaks the era of the first request that it gets, as the SDK does it.
"""

import asyncio
import contextvars
import json
import warnings

import mcp_types as types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (InMemorySubscriptionBus, ListenHandler, PromptsListChanged,
                                      ToolsListChanged)
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import event_to_notification

PNG = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5E"
       "rkJggg==")
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
NOTHING = {"type": "object", "properties": {}}


def text(words):
    return types.TextContent(type="text", text=words)


def image():
    return types.ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri, mime_type, words):
    return types.EmbeddedResource(type="resource", resource=types.TextResourceContents(
        uri=uri, mime_type=mime_type, text=words))


def strings(*names):
    return {"type": "object", "properties": {name: {"type": "string"} for name in names},
            "required": list(names)}


# -- questions

ANSWERS = {"elicitation/create": types.ElicitResult, "roots/list": types.ListRootsResult,
           "sampling/createMessage": types.CreateMessageResult}
answered = contextvars.ContextVar("what a modern client has answered so far, by our keys")


class Asks(Exception):
    """Raised with the questions, by our keys, that a modern client has not answered yet."""


def is_modern(ctx):
    return ctx.protocol_version == "2026-07-28"


def form(message, required=(), **properties):
    return types.ElicitRequest(params=types.ElicitRequestFormParams(
        message=message, requested_schema={"type": "object", "properties": properties,
                                           **({"required": [*required]} if required else {})}))


def sampling(words, max_tokens=100):
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(
        messages=[types.SamplingMessage(role="user", content=text(words))],
        max_tokens=max_tokens))


async def ask(ctx, **questions):
    """The answers, in this order: a legacy client is asked now, all at once; a modern one has
    answered already, or is asked by what its call returns."""
    if not is_modern(ctx):
        return await asyncio.gather(*(
            ctx.session.send_request(question, ANSWERS[question.method])
            for question in questions.values()))
    missing = questions.keys() - answered.get().keys()
    if missing:
        raise Asks({key: questions[key] for key in questions if key in missing})
    return [ANSWERS[question.method].model_validate(answered.get()[key])
            for key, question in questions.items()]


async def answer_or_ask(result):
    """The result, or what asks for the answers that it needs. What was answered before is kept in
    the state, which the SDK seals: nobody else can make one."""
    try:
        return await result
    except Asks as asks:
        return types.InputRequiredResult(input_requests=asks.args[0],
                                         request_state=json.dumps(answered.get()))


def remember_answers(params):
    answered.set({**json.loads(params.request_state or "{}"), **{
        key: answer.model_dump(mode="json", by_alias=True, exclude_none=True)
        for key, answer in (params.input_responses or {}).items()}})


def need(ctx, *capabilities):
    lacking = [name for name in capabilities
               if getattr(ctx.session.client_capabilities, name, None) is None]
    if lacking:
        raise MCPError(-32021, f"The client cannot be asked: {lacking}",
                       {"requiredCapabilities": dict.fromkeys(lacking, {})})


async def fill_in(ctx, question):
    answer, = await ask(ctx, question=question)
    return f"action={answer.action}, content={json.dumps(answer.content)}"


# -- changes

bus = InMemorySubscriptionBus()
grown = set()   # the kinds of lists that have one more entry now


async def change(ctx, kind, event):
    grown.symmetric_difference_update({kind})
    if is_modern(ctx):
        await bus.publish(event)
    else:
        await ctx.session.send_notification(event_to_notification(event, {}))
    return [text("changed")]


# -- tools


async def test_simple_text(ctx, arguments):
    return [text("This is a simple text response for testing.")]


async def test_image_content(ctx, arguments):
    return [image()]


async def test_audio_content(ctx, arguments):
    return [types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


async def test_embedded_resource(ctx, arguments):
    return [embedded("test://embedded-resource", "text/plain",
                     "This is an embedded resource content.")]


async def test_multiple_content_types(ctx, arguments):
    return [text("Multiple content types test:"), image(),
            embedded("test://mixed-content-resource", "application/json",
                     '{"test":"data","value":123}')]


async def test_tool_with_logging(ctx, arguments):
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", words)
        await asyncio.sleep(0.05)
    return [text("done")]


async def test_error_handling(ctx, arguments):
    raise ValueError("This tool intentionally returns an error for testing")


async def test_tool_with_progress(ctx, arguments):
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return [text("done")]


async def test_sampling(ctx, arguments):
    answer, = await ask(ctx, question=sampling(arguments["prompt"]))
    return [text(f"LLM response: {answer.content.text}")]


async def test_elicitation(ctx, arguments):
    filled = await fill_in(ctx, form(
        arguments["message"], ["username", "email"],
        username={"type": "string", "description": "User's response"},
        email={"type": "string", "description": "User's email address"}))
    return [text(f"User response: {filled}")]


async def complete(ctx, **properties):
    filled = await fill_in(ctx, form("Please fill in the form", **properties))
    return [text(f"Elicitation completed: {filled}")]


async def test_elicitation_sep1034_defaults(ctx, arguments):
    return await complete(
        ctx, name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True})


async def test_elicitation_sep1330_enums(ctx, arguments):
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"{word} Option"}
              for n, word in enumerate(("First", "Second", "Third"), 1)]
    return await complete(
        ctx, untitledSingle={"type": "string", "enum": options},
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={"type": "string", "enum": ["opt1", "opt2", "opt3"],
                    "enumNames": ["Option One", "Option Two", "Option Three"]},
        untitledMulti={"type": "array", "items": {"type": "string", "enum": options}},
        titledMulti={"type": "array", "items": {"anyOf": titled}})


# -- tools of the suite of revision 2026-07-28

NAME = form("What is your name?", ["name"], name={"type": "string"})
CONFIRM = form("Please confirm", ["ok"], ok={"type": "boolean"})


async def test_input_required_result_elicitation(ctx, arguments):
    user, = await ask(ctx, user_name=NAME)
    return [text(f"Hello, {user.content['name']}!")]


async def test_input_required_result_sampling(ctx, arguments):
    answer, = await ask(ctx, capital_question=sampling("What is the capital of France?"))
    return [answer.content]


async def test_input_required_result_list_roots(ctx, arguments):
    found, = await ask(ctx, client_roots=types.ListRootsRequest())
    return [text(f"{len(found.roots)} roots")]


async def test_input_required_result_request_state(ctx, arguments):
    await ask(ctx, confirm=CONFIRM)
    return [text("state-ok")]


async def test_input_required_result_multiple_inputs(ctx, arguments):
    user, greeting, found = await ask(ctx, user_name=NAME, greeting=sampling("Greet", 50),
                                      client_roots=types.ListRootsRequest())
    return [text(f"{user.content}, {greeting.content.text}, {len(found.roots)} roots")]


async def test_input_required_result_multi_round(ctx, arguments):
    user, = await ask(ctx, step1=NAME)
    favourite, = await ask(ctx, step2=form("Which color?", ["color"], color={"type": "string"}))
    return [text(f"{user.content['name']} likes {favourite.content.get('color')}")]


async def test_input_required_result_tampered_state(ctx, arguments):
    await ask(ctx, confirm=CONFIRM)
    return [text("integrity-ok")]


async def test_input_required_result_capabilities(ctx, arguments):
    """Asks only what the client has declared."""
    questions = {"elicitation": NAME, "sampling": sampling("Say something")}
    answers = await ask(ctx, **{name: question for name, question in questions.items() if getattr(
        ctx.session.client_capabilities, name, None) is not None})
    return [text(f"{len(answers)} answers")]


async def test_missing_capability(ctx, arguments):
    need(ctx, "sampling")
    return [text("has it")]


async def test_streaming_elicitation(ctx, arguments):
    need(ctx, "elicitation")
    await ctx.session.report_progress(50, 100)
    await ask(ctx, confirm=CONFIRM)
    return [text("streamed")]


async def test_logging_tool(ctx, arguments):
    await ctx.session.send_log_message("info", "a line", related_request_id=ctx.request_id)
    return [text("logged, for a client that wants to hear it")]


async def test_trigger_tool_change(ctx, arguments):
    return await change(ctx, "tools", ToolsListChanged())


async def test_trigger_prompt_change(ctx, arguments):
    return await change(ctx, "prompts", PromptsListChanged())


async def test_header(ctx, arguments):
    return [text(arguments["region"])]


TOOLS = {**dict.fromkeys(
    (test_simple_text, test_image_content, test_audio_content, test_embedded_resource,
     test_multiple_content_types, test_tool_with_logging, test_error_handling,
     test_tool_with_progress, test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums,
     test_input_required_result_elicitation, test_input_required_result_sampling,
     test_input_required_result_list_roots, test_input_required_result_request_state,
     test_input_required_result_multiple_inputs, test_input_required_result_multi_round,
     test_input_required_result_tampered_state, test_input_required_result_capabilities,
     test_missing_capability, test_streaming_elicitation, test_logging_tool,
     test_trigger_tool_change, test_trigger_prompt_change), NOTHING),
    test_sampling: strings("prompt"), test_elicitation: strings("message"),
    test_header: {"type": "object", "required": ["region"], "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}}}}
SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {
        "street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                   "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                   "phone": {"type": "string"}, "email": {"type": "string"}},
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]}, "else": {"required": ["email"]},
    "additionalProperties": False}


async def list_tools(ctx, params):
    return types.ListToolsResult(tools=[
        *(types.Tool(name=tool.__name__, description=tool.__name__, input_schema=schema)
          for tool, schema in TOOLS.items()),
        types.Tool(name="json_schema_2020_12_tool", description="a schema with everything",
                   input_schema=SCHEMA_2020_12),
        *([types.Tool(name="grown", description="grown", input_schema=NOTHING)]
          if "tools" in grown else [])])


async def call_tool(ctx, params):
    tool = next((tool for tool in TOOLS if tool.__name__ == params.name), None)
    if tool is None:
        raise MCPError(-32602, f"Unknown tool: {params.name}")
    remember_answers(params)

    async def result():
        return types.CallToolResult(content=await tool(ctx, params.arguments or {}))
    try:
        return await answer_or_ask(result())
    except ValueError as problem:
        return types.CallToolResult(content=[text(str(problem))], is_error=True)


# -- resources


async def list_resources(ctx, params):
    return types.ListResourcesResult(resources=[
        types.Resource(uri="test://static-text", name="text", mime_type="text/plain"),
        types.Resource(uri="test://static-binary", name="binary", mime_type="image/png"),
        types.Resource(uri="test://watched-resource", name="watched", mime_type="text/plain")])


async def list_templates(ctx, params):
    return types.ListResourceTemplatesResult(resource_templates=[types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json")])


async def read_resource(ctx, params):
    uri = str(params.uri)
    if uri == "test://static-binary":
        contents = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    elif uri.startswith("test://template/"):
        id = uri.split("/")[3]
        contents = types.TextResourceContents(
            uri=uri, mime_type="application/json",
            text=json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"}))
    elif uri in ("test://static-text", "test://watched-resource"):
        contents = types.TextResourceContents(
            uri=uri, mime_type="text/plain",
            text="This is the content of the static text resource.")
    else:
        raise MCPError(-32602 if is_modern(ctx) else -32002, f"Resource not found: {uri}",
                       {"uri": uri})
    return types.ReadResourceResult(contents=[contents])


async def nothing(ctx, params):
    return types.EmptyResult()


# -- prompts


PROMPTS = {
    "test_simple_prompt": ((), lambda: [text("This is a simple prompt for testing.")]),
    "test_prompt_with_arguments": (("arg1", "arg2"), lambda arg1, arg2: [
        text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]),
    "test_prompt_with_embedded_resource": (("resourceUri",), lambda resourceUri: [
        embedded(resourceUri, "text/plain", "Embedded resource content for testing."),
        text("Please process the embedded resource above.")]),
    "test_prompt_with_image": ((), lambda: [image(), text("Please analyze the image above.")]),
}
ASKING_PROMPT = "test_input_required_result_prompt"


async def prompt_with_context(ctx):
    answer, = await ask(ctx, user_context=form("Which context?", ["context"],
                                               context={"type": "string"}))
    return types.GetPromptResult(messages=[
        types.PromptMessage(role="user", content=text(answer.content["context"]))])


async def list_prompts(ctx, params):
    return types.ListPromptsResult(prompts=[types.Prompt(name=name, description=name, arguments=[
        types.PromptArgument(name=argument, required=True) for argument in arguments])
        for name, (arguments, _) in PROMPTS.items()]
        + [types.Prompt(name=ASKING_PROMPT, description="asks for a context")]
        + ([types.Prompt(name="grown", description="grown")] if "prompts" in grown else []))


async def get_prompt(ctx, params):
    if params.name == ASKING_PROMPT:
        remember_answers(params)
        return await answer_or_ask(prompt_with_context(ctx))
    _, contents = PROMPTS[params.name]
    return types.GetPromptResult(messages=[
        types.PromptMessage(role="user", content=content)
        for content in contents(**(params.arguments or {}))])


async def completion(ctx, params):
    return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


def make_server():
    server = Server(
        "conformance", version="1", on_list_tools=list_tools, on_call_tool=call_tool,
        on_list_resources=list_resources, on_list_resource_templates=list_templates,
        on_read_resource=read_resource, on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing, on_list_prompts=list_prompts, on_get_prompt=get_prompt,
        on_subscriptions_listen=ListenHandler(bus),
        on_completion=completion, on_set_logging_level=nothing)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(),
                                                  default_audience="conformance"))
    return server


async def main():
    server = make_server()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(
            NotificationOptions(prompts_changed=True, tools_changed=True)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # logging is deprecated in revisions that are not meant here
    asyncio.run(main())
