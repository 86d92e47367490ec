"""The official Python SDK as a client of official servers, and what it sees there."""

import contextlib
import sys

import anyio
import httpx2
import pytest
from mcp import StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from processes import everything
from tour import tour

PATIENCE = 120.0
TIME = {"command": sys.executable, "args": ["-m", "mcp_server_time"]}


@contextlib.asynccontextmanager
async def over_http(url):
    """The SDK's transport for a URL of ours. What its timeouts guard against is a busy machine."""
    if "/mcp" in url:
        async with httpx2.AsyncClient(timeout=PATIENCE) as client, \
                streamable_http_client(url, http_client=client) as streams:
            yield streams
    else:
        async with sse_client(url, timeout=PATIENCE) as streams:
            yield streams


@contextlib.asynccontextmanager
async def directly():
    entry = everything()
    async with stdio_client(StdioServerParameters(**entry)) as streams:
        yield streams


def travel(connect, *arguments, **more):
    async def main():
        async with connect as (read, write):
            return await tour(read, write, *arguments, **more)
    return anyio.run(main)


@pytest.fixture(scope="session")
def direct():
    """What a client gets that talks to the server itself: {askable: results}."""
    return {askable: travel(directly(), askable=askable) for askable in (True, False)}


def expected_from(direct, prefix):
    """What a client hears of the server itself. But if all servers are seen together and none
    knows a resource, it is not found; the error of one of them is not the answer."""
    if not prefix:
        return direct
    uri = "demo://resource/nowhere"
    return {**direct, uri: {"error": {
        "code": -32002, "message": f"Resource not found: {uri}", "data": {"uri": uri}}}}


def but_for_news(seen):
    """The server says when it has started that its tools have changed. A client that has asked for
    a list before is told, and hears besides that a server is up that was not when it connected.
    How much of a long call is heard before it is given up, in tour.py, is a matter of time."""
    return {**seen, "heard": [message for message in seen["heard"]
                              if message["method"] != "notifications/tools/list_changed"
                              and message.get("params", {}).get("total") != 600]}


def same(seen, expected):
    seen, expected = but_for_news(seen), but_for_news(expected)
    assert seen.keys() == expected.keys()
    for key in expected:
        assert seen[key] == expected[key], f"{key}: {seen[key]}\nand not {expected[key]}"
