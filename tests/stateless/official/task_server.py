"""A server with the extension of tasks (SEP-2663), as the official suite asks for it by name.

The ids of its tasks are 1, 2, 3 and so on: two such servers give the same ids.
"""

import asyncio
import datetime
import itertools
import warnings

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from pydantic import Field

EXTENSION = "io.modelcontextprotocol/tasks"
NAME = types.ElicitRequest(params=types.ElicitRequestFormParams(
    message="What is your name?", requested_schema={
        "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}))

numbers = itertools.count(1)
tasks = {}


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def text(words):
    return {"resultType": "complete", "content": [{"type": "text", "text": words}]}


class Task:
    """One call that goes on after its answer. Its `work` may ask it, and returns a result."""

    def __init__(self, work):
        self.id = str(next(numbers))
        self.created = self.changed = now()
        self.status, self.end = "working", {}
        self.questions = {}     # by key: (question, the future of its answer)
        tasks[self.id] = self
        self.running = asyncio.create_task(self.run(work))

    async def run(self, work):
        try:
            self.settle("completed", result=await work(self))
        except asyncio.CancelledError:
            self.settle("cancelled")
        except Exception as problem:
            self.settle("failed", error={"code": -32603, "message": str(problem)})

    def settle(self, status, **end):
        self.status, self.end, self.changed = status, end, now()

    async def ask(self, **questions):
        asked = {key: asyncio.get_running_loop().create_future() for key in questions}
        self.questions = {key: (questions[key], asked[key]) for key in questions}
        self.settle("input_required")
        answers = await asyncio.gather(*asked.values())
        self.settle("working")
        return answers

    def answer(self, answers):
        for key in answers.keys() & self.questions.keys():
            self.questions.pop(key)[1].set_result(answers[key])

    def seen(self, result_type):
        return {"resultType": result_type, "taskId": self.id, "status": self.status,
                "createdAt": self.created, "lastUpdatedAt": self.changed, "ttlMs": 60000,
                "pollIntervalMs": 100, **self.end, **({"inputRequests": {
                    key: question.model_dump(mode="json", by_alias=True, exclude_none=True)
                    for key, (question, _) in self.questions.items()}} if self.questions else {})}


# -- tools: {name: what it does}; those with a task get it, others only their arguments


def greet(arguments):
    return text(f"Hello, {arguments.get('name')}!")


async def slow_compute(task, seconds=0, label=""):
    await asyncio.sleep(seconds)
    return text(f"computed {label}")


async def failing_job(task):
    return {**text("failed as told"), "isError": True}


async def protocol_error_job(task):
    raise ValueError("broken as told")


async def confirm_delete(task, **arguments):
    answer, = await task.ask(confirm=NAME)
    return text(str(answer))


async def multi_input(task):
    return text(str(await task.ask(first=NAME, second=NAME)))


async def test_tool_with_task(task, user_name):
    return text(f"for {user_name}")

TASKS = {work.__name__: work for work in (slow_compute, failing_job, protocol_error_job,
                                          confirm_delete, multi_input, test_tool_with_task)}
REQUIRED = {"failing_job", "test_tool_with_task"}


def has_tasks(ctx):
    return EXTENSION in (ctx.session.client_capabilities.extensions or {})


def lacks_tasks():
    return MCPError(-32021, "This needs the extension of tasks.",
                    {"requiredCapabilities": {"extensions": {EXTENSION: {}}}})


async def list_tools(ctx, params):
    return types.ListToolsResult(tools=[
        types.Tool(name=name, description=name, input_schema={"type": "object"})
        for name in ("greet", *TASKS)])


async def call_tool(ctx, params):
    arguments = params.arguments or {}
    if params.name == "greet":
        return greet(arguments)
    if params.name not in TASKS:
        raise MCPError(-32602, f"Unknown tool: {params.name}")
    if params.name in REQUIRED and not has_tasks(ctx):
        raise lacks_tasks()
    if params.name == "test_tool_with_task":
        if "user_name" not in (params.input_responses or {}):
            return types.InputRequiredResult(input_requests={"user_name": NAME})
        arguments = {"user_name": params.input_responses["user_name"].content["name"]}
    task = Task(lambda task: TASKS[params.name](task, **arguments))
    if has_tasks(ctx):
        return task.seen("task")
    await task.running
    return task.end["result"]


# -- requests about a task


class AboutTask(types.RequestParams):
    task_id: str = Field(alias="taskId")
    input_responses: dict = Field(alias="inputResponses", default={})


def about_task(act):
    async def handler(ctx, params):
        if not has_tasks(ctx):
            raise lacks_tasks()
        if params.task_id not in tasks:
            raise MCPError(-32602, f"Unknown task: {params.task_id}")
        return act(tasks[params.task_id], params) or {}
    return handler


METHODS = {"tasks/get": lambda task, params: task.seen("complete"),
           "tasks/update": lambda task, params: task.answer(params.input_responses),
           "tasks/cancel": lambda task, params: task.running.cancel() and None}


def make_server():
    server = Server("tasks", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
    server.extensions = {EXTENSION: {}}
    for method, act in METHODS.items():
        server.add_request_handler(method, AboutTask, about_task(act))
    return server


async def main():
    server = make_server()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the SDK warns of all that is deprecated
    asyncio.run(main())
