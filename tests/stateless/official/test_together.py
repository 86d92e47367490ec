"""Many at once on the same servers: clients of both eras, equal ids, and tasks with equal ids.

Each must get its own answers, progress, log lines and questions, and nobody else's.
"""

import concurrent.futures
import json
import sys
from pathlib import Path

import anyio
import pytest
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged

from official import over_http
from sdk_tour import Person, sdk

REVISION = "2026-07-28"
TASK_SERVER = {"command": sys.executable,
               "args": [str(Path(__file__).with_name("task_server.py"))]}
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
every_server = pytest.mark.parametrize("server", ["legacy", "modern", "both"])
each_surface = pytest.mark.parametrize("surface", ["single", "aggregate"])


@every_server
@each_surface
def test_ten_requests_at_once_with_equal_ids_and_tokens_each_get_their_own(
        router, ask, server, surface):
    path, prefix = ("/mcp", f"{server}__") if surface == "aggregate" else (f"/mcp/{server}", "")

    def steps(number):
        return ask(router, path, "tools/call", token="t", name=prefix + "progress",
                   arguments={"steps": number})

    def echo(number):
        return ask(router, path, "tools/call", token="t", name=prefix + "echo",
                   arguments={"text": f"text {number}"})
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        told_steps = pool.map(steps, range(1, 6))
        echoed = pool.map(echo, range(1, 6))
        for number, (told, answer) in enumerate(told_steps, 1):
            assert answer["content"][0]["text"] == f"{number} steps"
            assert [message["params"] for message in told] == [
                {"progressToken": "t", "progress": step, "total": number,
                 "message": f"step {step}"} for step in range(1, number + 1)]
        for number, (told, answer) in enumerate(echoed, 1):
            assert (told, answer["content"][0]["text"]) == ([], f"text {number}")


@every_server
@each_surface
def test_questions_of_calls_with_equal_ids_are_answered_each_by_its_own_client(
        router, ask, server, surface):
    path, prefix = ("/mcp", f"{server}__") if surface == "aggregate" else (f"/mcp/{server}", "")
    call = dict(method="tools/call", capabilities={"elicitation": {}}, name=prefix + "ask",
                arguments={"kinds": ["elicitation"]})
    names = [f"client-{number}" for number in range(3)]
    asked = [ask(router, path, **call)[1] for _ in names]
    assert len({question["requestState"] for question in asked}) == len(names)
    for name, question in reversed([*zip(names, asked)]):
        assert question["resultType"] == "input_required"
        (key, request), = question["inputRequests"].items()
        assert request["params"]["message"] == "What is your name?"
        _, answer = ask(router, path, **call, requestState=question["requestState"],
                        inputResponses={key: {"action": "accept", "content": {"name": name}}})
        assert json.loads(answer["content"][0]["text"]) == {
            "elicitation": {"action": "accept", "content": {"name": name}}}


@each_surface
def test_legacy_and_modern_clients_on_the_same_servers_are_each_asked_only_their_own(
        router, surface):
    have_asked, all_have_asked, alone = [], None, None

    async def one(name, mode, server):
        path, prefix = ("/mcp", f"{server}__") if surface == "aggregate" else (
            f"/mcp/{server}", "")
        async with Person(over_http(router.url + path), name, mode,
                          prefix=prefix).here() as person:
            assert (person.client.protocol_version == REVISION) == (mode != "legacy")
            for number in range(2):
                answer = await person.call("ask", kinds=["elicitation", "sampling", "roots"])
                asked = json.loads(answer.content[0].text)
                assert asked["elicitation"]["content"] == {"name": name}
                assert asked["sampling"]["model"] == name
                assert asked["roots"]["roots"] == [{"uri": f"file:///home/{name}"}]
                text = f"{name} {number}"
                assert (await person.call("echo", text=text)).content[0].text == text
            have_asked.append(name)
            if len(have_asked) == 9:
                all_have_asked.set()
            await all_have_asked.wait()
            async with alone:   # else it is not certain whose line it is
                await person.call("log", level="warning", text=name)
                heard = await person.hears("notifications/message")
                assert heard.params.data == name

    async def main():
        nonlocal all_have_asked, alone
        all_have_asked, alone = anyio.Event(), anyio.Lock()
        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                for server in ("legacy", "modern", "both"):
                    for number, mode in enumerate(("legacy", "auto", REVISION)):
                        group.start_soon(one, f"{server}-client-{number}", mode, server)
    anyio.run(main)


@every_server
@each_surface
def test_what_changes_is_told_to_a_modern_client_that_listens_for_it(router, server, surface):
    path, prefix = ("/mcp", f"{server}__") if surface == "aggregate" else (f"/mcp/{server}", "")
    note = f"{server}://note"

    def person():
        return Person(over_http(router.url + path), mode="auto", askable=False,
                      prefix=prefix).here()

    async def main():
        with anyio.fail_after(60):
            async with person() as one, person() as other:
                async with one.client.listen(tools_list_changed=True,
                                             resource_subscriptions=[note]) as changes:
                    await other.call("change", kind="prompts")  # which was not asked for
                    await other.call("change", kind="tools")
                    assert await anext(changes) == ToolsListChanged()
                    tools = (await one.client.list_tools()).tools
                    assert prefix + "grown" in [tool.name for tool in tools]
                    await other.call("update", uri=note)
                    assert await anext(changes) == ResourceUpdated(note)
                for kind in ("prompts", "tools"):
                    await other.call("change", kind=kind)
    anyio.run(main)


def test_listening_ends_in_good_order_when_the_router_ends(start_router):
    running = start_router({"sdk": sdk("modern")})

    async def main():
        with anyio.fail_after(30):
            async with Person(over_http(running.url + "/mcp"), mode="auto").here() as person:
                async with person.client.listen(tools_list_changed=True) as changes:
                    await anyio.to_thread.run_sync(running.stop)
                    assert [change async for change in changes] == []
    anyio.run(main)


def test_tasks_of_two_servers_with_the_same_id_stay_apart(standing_router, ask):
    running = standing_router({"one": TASK_SERVER, "two": TASK_SERVER})
    extension = {"extensions": {"io.modelcontextprotocol/tasks": {}}}

    def at_both(method, path="/mcp", **params):
        return ask(running, path, method, extension, **params)[1]

    def create(server, tool, **arguments):
        created = at_both("tools/call", name=f"{server}__{tool}", arguments=arguments)
        assert created["resultType"] == "task"
        return created["taskId"]

    def status(task):
        return at_both("tasks/get", taskId=task)["status"]
    tasks = {server: create(server, "confirm_delete") for server in ("one", "two")}
    assert tasks == {"one": "one__1", "two": "two__1"}
    for task in tasks.values():
        seen = at_both("tasks/get", taskId=task)
        assert (seen["taskId"], seen["status"]) == (task, "input_required")
        assert seen["inputRequests"].keys() == {"confirm"}
    at_both("tasks/update", taskId=tasks["two"], inputResponses={
        "confirm": {"action": "accept", "content": {"name": "Ada"}}})
    seen = at_both("tasks/get", taskId=tasks["two"])
    assert (seen["taskId"], seen["status"]) == (tasks["two"], "completed")
    assert "Ada" in seen["result"]["content"][0]["text"]
    assert status(tasks["one"]) == "input_required"
    assert at_both("tasks/cancel", taskId=tasks["one"])["resultType"] == "complete"
    assert status(tasks["one"]) == "cancelled" and status(tasks["two"]) == "completed"
    for unknown in ("1", "one__9", "three__1"):
        assert at_both("tasks/get", taskId=unknown)["code"] == -32602
    seen = at_both("tasks/get", path="/mcp/one", taskId="1")
    assert (seen["taskId"], seen["status"]) == ("1", "cancelled")
