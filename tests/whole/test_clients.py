"""The official Python SDK as client, official servers from npm and PyPI: the real thing.

Through the router a client must get what it gets from the server directly, over each transport
and on each surface, the prefix of names aside.
"""

import contextlib
import json
import os
import re
import sys

import anyio
import mcp_types as types
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from official import TIME, direct, expected_from, over_http, same, travel  # noqa: F401
from processes import (NPM_FOLDER, ROOT, children, command, everything, fake, filesystem, npm,
                       npm_program, processes, wait_until)
from tour import Tour

SURFACES = [("/sse/everything", ""), ("/sse", "everything__"),
            ("/mcp/everything", ""), ("/mcp", "everything__")]


@contextlib.asynccontextmanager
async def router_over_stdio(config):
    async with stdio_client(StdioServerParameters(
            command=sys.executable, args=[str(ROOT / "router.py"), "--config", str(config),
                                          "--log-level", "error"])) as streams:
        yield streams


@pytest.mark.parametrize("askable", [True, False], ids=["askable", "quiet"])
@pytest.mark.parametrize("path, prefix", SURFACES)
def test_the_tour_over_http_is_that_of_the_server_itself(start_router, direct, path, prefix,
                                                         askable):
    running = start_router({"everything": everything(), "time": TIME})
    seen = travel(over_http(running.url + path), prefix, askable)
    same(seen, expected_from(direct[askable], prefix))


def test_the_tour_over_stdio_is_that_of_the_server_itself(start_router, direct):
    config = start_router({"everything": everything(), "time": TIME}).config
    prefix = "everything__"
    same(travel(router_over_stdio(config), prefix), expected_from(direct[True], prefix))


@pytest.mark.parametrize("path, prefix", SURFACES)
def test_two_clients_at_once_each_get_only_what_is_their_own(start_router, path, prefix):
    """Equal ids, interleaved calls; results, progress, log lines, questions and roots."""
    running = start_router({"everything": everything()})
    both_in = {}

    async def one(name, results):
        async with over_http(running.url + path) as (read, write):
            guide = Tour(read, write, name=name)
            async with guide.session as session:
                await session.initialize()
                both_in[name].set()
                for event in both_in.values():
                    await event.wait()
                results[name] = await busy(guide, session, name)

    async def busy(guide, session, name):
        texts, told = [], []

        async def progress(done, total, text):
            told.append(total)
        for n in range(15):
            answer = await session.call_tool(prefix + "echo", {"message": f"{name} {n}"})
            texts.append(answer.content[0].text)
            answer = await guide.ask("tools/call", name=prefix + "trigger-sampling-request",
                                     arguments={"prompt": f"{n}"})
            texts.append(answer["content"][0]["text"])
        answer = await guide.ask("tools/call", name=prefix + "trigger-elicitation-request",
                                 arguments={})
        texts.append(str(answer))
        await session.call_tool(prefix + "trigger-long-running-operation",
                                {"duration": 0.5, "steps": 3 if name == "Ada" else 5},
                                progress_callback=progress)
        await guide.until_heard(lambda m: "Roots updated" in str(m))
        texts.append(str(await guide.ask("tools/call", name=prefix + "get-roots-list",
                                         arguments={})))
        return texts, told, guide.heard

    async def main():
        results = {}
        both_in.update({name: anyio.Event() for name in ("Ada", "Bob")})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, "Ada", results)
            tasks.start_soon(one, "Bob", results)
        return results
    results = anyio.run(main)
    for name, other, steps in (("Ada", "Bob", 3), ("Bob", "Ada", 5)):
        texts, told, heard = results[name]
        assert all(name in text and other not in text for text in texts)
        assert told == [steps] * steps
        assert str(heard).count("Roots updated") == 1 and other not in str(heard)


@pytest.mark.parametrize("path, prefix", SURFACES)
def test_two_clients_that_cannot_be_asked_share_a_process_and_no_message(start_router, path,
                                                                         prefix):
    running = start_router({"everything": everything()})

    async def one(number, results):
        async with over_http(running.url + path) as (read, write):
            guide = Tour(read, write, askable=False)
            async with guide.session as session:
                await session.initialize()
                texts, told = [], []

                async def progress(done, total, text):
                    told.append(total)

                async def long():
                    await session.call_tool(prefix + "trigger-long-running-operation",
                                            {"duration": 0.5, "steps": number + 2},
                                            progress_callback=progress)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(long)
                    for n in range(20):
                        answer = await session.call_tool(prefix + "echo",
                                                         {"message": f"{number} {n}"})
                        texts.append(answer.content[0].text)
                results[number] = texts, told

    async def main():
        results = {}
        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(one, number, results)
        return results
    for number, (texts, told) in anyio.run(main).items():
        assert texts == [f"Echo: {number} {n}" for n in range(20)]
        assert told == [number + 2] * (number + 2)


def test_official_servers_singly_and_all_together(start_router, tmp_path):
    folder = (tmp_path / "files").resolve()
    folder.mkdir()
    (folder / "a.txt").write_text("the text")
    running = start_router({"everything": everything(), "files": filesystem(folder),
                            "time": TIME})

    async def main():
        async with over_http(running.url + "/sse") as streams, ClientSession(*streams) as session:
            await session.initialize()
            names = [tool.name for tool in (await session.list_tools()).tools]
            assert {"everything__echo", "files__read_text_file",
                    "time__convert_time"} <= set(names)
            answer = await session.call_tool("files__read_text_file",
                                             {"path": str(folder / "a.txt")})
            assert answer.content[0].text == "the text"
            answer = await session.call_tool("convert_time", {
                "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"})
            assert "21:00" in answer.content[0].text
        for name, tool in (("files", "list_directory"), ("time", "get_current_time")):
            async with over_http(f"{running.url}/sse/{name}") as streams, \
                    ClientSession(*streams) as session:
                await session.initialize()
                assert tool in [tool.name for tool in (await session.list_tools()).tools]
    anyio.run(main)


@pytest.mark.parametrize("path, prefix", [("/sse/files", ""), ("/mcp", "files__")])
def test_the_first_call_of_each_client_finds_the_folders_that_this_client_named(
        start_router, tmp_path, path, prefix):
    """The official file system server asks for roots, and refuses everything until it has them."""
    running = start_router({"files": {"command": filesystem(tmp_path)["command"],
                                      "args": filesystem(tmp_path)["args"][:1]}})

    async def first_call(folder):
        async def roots(_context):
            return types.ListRootsResult(roots=[types.Root(uri=folder.as_uri())])
        async with over_http(running.url + path) as streams, ClientSession(
                *streams, list_roots_callback=roots) as session:
            await session.initialize()
            answer = await session.call_tool(prefix + "list_directory", {"path": str(folder)})
            return answer.content[0].text

    for name in ("one", "two", "three"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.txt").write_text("")
        assert f"{name}.txt" in anyio.run(first_call, folder)


@pytest.mark.parametrize("path, tool", [("/sse", "everything__echo"), ("/sse/everything", "echo")])
def test_the_inspectors_command_line_lists_and_calls_tools(start_router, run, path, tool):
    running = start_router({"everything": everything()})
    inspector = ["node", npm_program("mcp-inspector"), "--cli", running.url + path,
                 "--transport", "sse"]
    listed = run(*inspector, "--method", "tools/list")
    assert tool in [tool["name"] for tool in json.loads(listed.stdout)["tools"]]
    called = run(*inspector, "--method", "tools/call", "--tool-name", tool,
                         "--tool-arg", "message=hi")
    assert json.loads(called.stdout)["content"][0]["text"] == "Echo: hi"


def test_the_inspector_and_mcp_remote_of_the_readme_reach_a_router_with_a_token(
        start_router, run, tmp_path):
    (tmp_path / "token").write_text("a-token-of-ours")
    running = start_router({"time": fake()}, "--token-file", str(tmp_path / "token"))
    readme = (ROOT / "transports" / "README.md").read_text("utf-8")
    readme = readme.replace("http://127.0.0.1:8080", running.url)
    command = re.search("^npx -y @modelcontextprotocol/inspector (.*)$", readme, re.MULTILINE)[1]
    home = {**os.environ, "HOME": str(tmp_path)}
    listed = run("sh", "-c", f"node {npm_program('mcp-inspector')} {command}",
                 env={**home, "MCP_ROUTER_TOKEN": "a-token-of-ours"})
    assert "time__echo" in [tool["name"] for tool in json.loads(listed.stdout)["tools"]]

    (block,) = [block for block in re.findall("^```json\n([^`]*)^```", readme, re.MULTILINE)
                if '"mcp-remote"' in block]
    entry = json.loads(block.replace("your-token", "a-token-of-ours"))["mcpServers"]["router"]
    assert [entry["command"], *entry["args"][:2]] == ["npx", "-y", "mcp-remote"]

    async def tools():
        async with stdio_client(StdioServerParameters(
                command="node", args=[npm_program("mcp-remote"), *entry["args"][2:]],
                env={**home, **entry["env"]})) as (read, write):
            async with ClientSession(read, write) as session:
                await session.initialize()
                return [tool.name for tool in (await session.list_tools()).tools]
    assert "time__echo" in anyio.run(tools)


def test_nothing_is_left_of_npx_servers_when_the_router_is_killed(start_router):
    npm("server-everything")
    entry = {"command": "npx", "cwd": str(NPM_FOLDER),
             "args": ["--no-install", "@modelcontextprotocol/server-everything"]}
    running = start_router({"one": entry, "two": entry})
    left = children(running.process.pid)
    assert sum("mcp-server-everything" in command(pid) for pid in left) >= 2
    running.process.kill()
    running.process.wait()
    assert wait_until(lambda: not left & set(processes()), 10)


def test_the_typescript_sdk_over_streamable_http_and_as_it_falls_back(start_router, run, tmp_path):
    """Clients that first try the new transport on an old URL, and the other way round."""
    npm("sdk")
    script = tmp_path / "client.mjs"
    script.write_text((ROOT / "tests" / "typescript_client.mjs").read_text())
    (tmp_path / "node_modules").symlink_to(NPM_FOLDER / "node_modules")
    running = start_router({"everything": everything()})
    done = run("node", str(script), running.url)
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout)
    assert seen["transports"] == {"/mcp": "new", "/mcp/everything": "new", "/sse": "old",
                                  "/sse/everything": "old", "/mcp by an old client": "new"}
    for surface in seen["surfaces"]:
        assert surface["text"] == "Echo: hi"
        # This SDK forgets the last progress when it comes in one piece with the answer.
        assert surface["progress"] in ([1, 2], [1, 2, 3])
        assert surface["sampled"] and surface["roots"] >= 1
        assert surface["ended"] == "session ended"


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_official_suite_scores_30_of_30_in_front_of_a_server_of_either_era(
        start_router, run, era):
    npm("conformance")
    running = start_router({"fixtures": {
        "command": sys.executable, "args": [str(ROOT / "tests" / "conformance_server.py")],
        "protocol": era}})
    suite = NPM_FOLDER / "node_modules" / ".bin" / "conformance"
    done = run("node", str(suite), "server", "--url", f"{running.url}/mcp/fixtures",
               "--requirements", "2025-11-25", timeout=300)
    text = done.stdout.decode()
    summary = text[text.index("=== SUMMARY ==="):]
    print(summary)  # what is not scored is reported, too
    scored, _, unscored = summary.partition("Not scored")
    rows = re.findall(r"^(.) (\S+): (\d+) passed, (\d+) failed", scored, re.MULTILINE)
    unscored = set(re.findall(r"^ +. (\S+) \(", unscored, re.MULTILINE))
    rows = [row for row in rows if row[1] not in unscored]
    assert len(rows) == 30 and all(row[0] == "✓" and row[3] == "0" for row in rows)
    assert "WARNING" not in scored.upper() and done.returncode == 0
