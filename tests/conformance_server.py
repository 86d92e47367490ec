"""What the official conformance suite asks for by name, on the official Python SDK.

It speaks the era of the first request that it gets, as the SDK does it.
"""

import asyncio
import contextvars
import json
import warnings

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError

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

answered = contextvars.ContextVar("what a modern client has answered, by our keys")


class Asks(Exception):
    """Raised with the question of a tool that a modern client has not answered yet."""


async def ask(ctx, question, kind):
    """The client's answer, of this kind: at once, or when a modern client asks again."""
    if ctx.protocol_version == "2025-11-25":
        return await ctx.session.send_request(question, kind)
    if "question" not in answered.get():
        raise Asks(question)
    return answered.get()["question"]


async def fill_in(ctx, message, schema):
    answer = await ask(ctx, types.ElicitRequest(params=types.ElicitRequestFormParams(
        message=message, requested_schema={"type": "object", **schema})), types.ElicitResult)
    return f"action={answer.action}, content={json.dumps(answer.content)}"


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
    answer = await ask(ctx, types.CreateMessageRequest(params=types.CreateMessageRequestParams(
        messages=[types.SamplingMessage(role="user", content=text(arguments["prompt"]))],
        max_tokens=100)), types.CreateMessageResult)
    return [text(f"LLM response: {answer.content.text}")]


async def test_elicitation(ctx, arguments):
    filled = await fill_in(ctx, arguments["message"], {
        "required": ["username", "email"], "properties": {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"}}})
    return [text(f"User response: {filled}")]


async def complete(ctx, properties):
    filled = await fill_in(ctx, "Please fill in the form", {"properties": properties})
    return [text(f"Elicitation completed: {filled}")]


async def test_elicitation_sep1034_defaults(ctx, arguments):
    return await complete(ctx, {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"],
                   "default": "active"},
        "verified": {"type": "boolean", "default": True}})


async def test_elicitation_sep1330_enums(ctx, arguments):
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"{word} Option"}
              for n, word in enumerate(("First", "Second", "Third"), 1)]
    return await complete(ctx, {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
                       "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}}})


TOOLS = {test_sampling: strings("prompt"), test_elicitation: strings("message"), **dict.fromkeys(
    (test_simple_text, test_image_content, test_audio_content, test_embedded_resource,
     test_multiple_content_types, test_tool_with_logging, test_error_handling,
     test_tool_with_progress, test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums),
    NOTHING)}
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
                   input_schema=SCHEMA_2020_12)])


async def call_tool(ctx, params):
    tool = next((tool for tool in TOOLS if tool.__name__ == params.name), None)
    if tool is None:
        raise MCPError(-32602, f"Unknown tool: {params.name}")
    answered.set(params.input_responses or {})
    try:
        return types.CallToolResult(content=await tool(ctx, params.arguments or {}))
    except Asks as asks:
        return types.InputRequiredResult(input_requests={"question": asks.args[0]})
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
        raise MCPError(-32002, f"Resource not found: {uri}", {"uri": uri})
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


async def list_prompts(ctx, params):
    return types.ListPromptsResult(prompts=[types.Prompt(name=name, description=name, arguments=[
        types.PromptArgument(name=argument, required=True) for argument in arguments])
        for name, (arguments, _) in PROMPTS.items()])


async def get_prompt(ctx, params):
    _, contents = PROMPTS[params.name]
    return types.GetPromptResult(messages=[
        types.PromptMessage(role="user", content=content)
        for content in contents(**(params.arguments or {}))])


async def completion(ctx, params):
    return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


async def main():
    server = Server(
        "conformance", version="1", on_list_tools=list_tools, on_call_tool=call_tool,
        on_list_resources=list_resources, on_list_resource_templates=list_templates,
        on_read_resource=read_resource, on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing, on_list_prompts=list_prompts, on_get_prompt=get_prompt,
        on_subscriptions_listen=ListenHandler(InMemorySubscriptionBus()),
        on_completion=completion, on_set_logging_level=nothing)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # logging is deprecated in revisions that are not meant here
    asyncio.run(main())
