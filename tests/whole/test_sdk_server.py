"""The server of sdk_server.py, driven directly by the client of the same SDK, in both eras.

What a client sees here it must see through the router. The bundled servers are tried as well: a
client that checks every field of an answer understands them.
"""

import contextlib
import json
import sys

import anyio
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged

from processes import ROOT

SDK_SERVER = "tests/sdk_server.py"
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}}
ERAS = pytest.mark.parametrize("mode, era", [
    ("modern", "auto"), ("both", "auto"), ("both", "legacy")])
ANSWERS = {
    "elicitation": {"action": "accept", "content": {"name": "Ada"}},
    "roots": {"roots": [{"uri": "file:///home/ada"}]},
    "sampling": {"role": "assistant", "model": "Ada", "content": {"type": "text", "text": "Hi."}}}


async def elicit(context, params):
    return types.ElicitResult.model_validate(ANSWERS["elicitation"])


async def sample(context, params):
    return types.CreateMessageResult.model_validate(ANSWERS["sampling"])


async def list_roots(context):
    return types.ListRootsResult.model_validate(ANSWERS["roots"])


ASKABLE = {"elicitation_callback": elicit, "sampling_callback": sample,
           "list_roots_callback": list_roots}


def with_client(steps, script, *arguments, era="auto", **more):
    """Run `await steps(client, heard)`, where `heard` is what the server said of itself."""
    async def main():
        server = StdioServerParameters(command=sys.executable,
                                       args=[str(ROOT / script), *arguments])
        news, heard = anyio.create_memory_object_stream(100)

        async def hear(message):
            news.send_nowait(message)
        with news, heard, anyio.fail_after(30):
            async with Client(server, mode=era, cache=None, message_handler=hear,
                              **more) as client:
                await steps(client, heard)
    anyio.run(main)


def text_of(result):
    return result.content[0].text


@contextlib.contextmanager
def refused(code):
    with pytest.raises(MCPError) as problem:
        yield
    assert problem.value.error.code == code


@ERAS
def test_lists_tools_prompts_and_resources_work_in_both_eras(mode, era):
    async def steps(client, heard):
        assert client.protocol_version == ("2025-11-25" if era == "legacy" else "2026-07-28")
        assert (client.server_info.name, client.instructions) == ("sdk", f"Speaks {mode}.")
        assert "echo" in [tool.name for tool in (await client.list_tools()).tools]
        assert text_of(await client.call_tool("echo", {"text": "grüße"})) == "grüße"
        prompt = await client.get_prompt("greet", {"name": "Ada"})
        assert prompt.messages[0].content.text == "Greet Ada."
        template = (await client.list_resource_templates()).resource_templates[0].uri_template
        read = await client.read_resource(template.replace("{name}", "Ada"))
        assert read.contents[0].text == "Hello, Ada."
        ref = types.PromptReference(type="ref/prompt", name="greet")
        found = await client.complete(ref, {"name": "name", "value": "A"})
        assert found.completion.values == ["Ada", "Alan"]
        with refused(-32002 if era == "legacy" else -32602):
            await client.read_resource("sdk://nowhere")
    with_client(steps, SDK_SERVER, mode, era=era)


@ERAS
def test_tools_tell_their_progress_log_and_fail(mode, era):
    async def steps(client, heard):
        told = []

        async def progress(*step):
            told.append(step)
        await client.call_tool("progress", {"steps": 2}, progress_callback=progress)
        assert told == [(1, 2, "step 1"), (2, 2, "step 2")]
        await client.call_tool("log", {"level": "warning", "text": "a line"})
        logged = [await heard.receive() for _ in range(3)][-1]  # after the progress
        assert (logged.params.level, logged.params.data) == ("warning", "a line")
        assert (await client.call_tool("fail")).is_error
        with refused(1234):
            await client.call_tool("fail", {"code": 1234})
    with_client(steps, SDK_SERVER, mode, era=era, log_level="info")


@ERAS
def test_a_tool_a_prompt_and_a_resource_ask_their_client(mode, era):
    async def steps(client, heard):
        every = await client.call_tool("ask", {"kinds": list(ANSWERS), "rounds": 3})
        assert json.loads(text_of(every)) == ANSWERS
        assert json.loads(text_of(await client.call_tool("ask", {"kinds": [], "rounds": 2}))) == {}
        only = {"elicitation": ANSWERS["elicitation"]}
        prompt = await client.get_prompt("interview")
        assert json.loads(prompt.messages[0].content.text) == only
        read = await client.read_resource("sdk://secret")
        assert json.loads(read.contents[0].text) == only
    with_client(steps, SDK_SERVER, mode, era=era, **ASKABLE)


@ERAS
def test_a_client_that_cannot_be_asked_is_told_what_it_lacks(mode, era):
    async def steps(client, heard):
        with refused(-32021):
            await client.call_tool("ask")
    with_client(steps, SDK_SERVER, mode, era=era)


def test_a_modern_client_that_listens_hears_of_changes_until_the_server_ends_it():
    async def steps(client, heard):
        async with client.listen(tools_list_changed=True,
                                 resource_subscriptions=["sdk://note"]) as changes:
            await client.call_tool("change", {"kind": "prompts"})  # not asked for
            await client.call_tool("change", {"kind": "tools"})
            assert await anext(changes) == ToolsListChanged()
            assert "grown" in [tool.name for tool in (await client.list_tools()).tools]
            await client.call_tool("update")
            assert await anext(changes) == ResourceUpdated("sdk://note")
            assert (await client.read_resource("sdk://note")).contents[0].text == "1 updates"
            await client.call_tool("end_listening")
            assert [change async for change in changes] == []
    with_client(steps, SDK_SERVER, "modern")


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
def test_a_legacy_client_hears_of_changes_and_of_what_it_subscribed_to():
    async def steps(client, heard):
        await client.call_tool("update")  # not subscribed to yet
        await client.subscribe_resource("sdk://note")
        await client.call_tool("change", {"kind": "tools"})
        await client.call_tool("update")
        methods = [(await heard.receive()).method for _ in range(2)]
        assert methods == ["notifications/tools/list_changed", "notifications/resources/updated"]
    with_client(steps, SDK_SERVER, "both", era="legacy")


def test_modern_only_refuses_initialize_and_goes_on(pipe):
    server = pipe(SDK_SERVER, "modern")
    problem = server.initialize()
    assert problem["code"] == -32022
    assert problem["data"] == {"supported": ["2026-07-28"], "requested": "2025-11-25"}
    called = server.ask("tools/call", META, name="echo", arguments={"text": "still here"})
    assert called["content"][0]["text"] == "still here"


def test_the_first_request_decides_the_era_of_a_server_of_both(pipe):
    server = pipe(SDK_SERVER, "both")
    assert server.ask("server/discover", META)["supportedVersions"] == ["2026-07-28"]
    assert server.initialize()["code"] == -32022
    server = pipe(SDK_SERVER, "both")
    assert server.initialize()["protocolVersion"] == "2025-11-25"
    assert server.ask("server/discover", META)["code"] == -32600


def test_a_state_that_the_server_did_not_give_is_refused(pipe):
    server = pipe(SDK_SERVER, "modern")
    asked = server.ask("tools/call", META, name="ask", arguments={"kinds": []})
    assert asked["resultType"] == "input_required" and asked.keys() >= {"requestState"}
    state = asked["requestState"]
    for wrong in (state[:-2], state + "A", "1", ""):
        assert server.ask("tools/call", META, name="ask", arguments={"kinds": []},
                          requestState=wrong)["code"] == -32602
    assert server.ask("tools/call", META, name="ask", arguments={"kinds": []},
                      requestState=state)["resultType"] == "complete"


def test_a_call_that_is_cancelled_ends_in_the_server(pipe):
    server = pipe(SDK_SERVER, "modern")
    waiting = server.start("tools/call", {**META, "progressToken": "w"}, name="wait")
    assert server.hear()["params"]["message"] == "waiting"
    server.say({"method": "notifications/cancelled", "params": {"requestId": waiting}})
    said, complained = server.end()
    assert said == [] and complained == "cancelled\n"


@pytest.mark.parametrize("era", ["auto", "2026-07-28", "legacy"])
@pytest.mark.parametrize("script, name, tool", [
    ("upstreams/servers/timekeeper.py", "timekeeper", "now"),
    ("upstreams/servers/files.py", "files", "summary")])
def test_the_sdks_client_understands_the_bundled_servers(script, name, tool, era):
    async def steps(client, heard):
        if era != "2026-07-28":  # a client that asks nothing first knows nothing of the server
            assert client.server_info.name == name
        assert client.protocol_version == ("2025-11-25" if era == "legacy" else "2026-07-28")
        assert tool in [tool.name for tool in (await client.list_tools()).tools]
        assert not (await client.call_tool(tool)).is_error
        assert (await client.list_prompts()).prompts
        await client.list_resource_templates()
        resource = (await client.list_resources()).resources[0]
        assert (await client.read_resource(resource.uri)).contents[0].text
    with_client(steps, script, era=era)
