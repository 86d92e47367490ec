"""The official Python SDK as a client of official servers, and what it sees there."""

import contextlib
import sys

import anyio
import pytest
from mcp import StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from processes import everything
from tour import tour

TIME = {"command": sys.executable, "args": ["-m", "mcp_server_time"]}


def over_http(url):
    """The SDK's transport for a URL of ours."""
    return streamable_http_client(url) if "/mcp" in url else sse_client(url)


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
    """What a client hears of the server itself, but for two things.

    The server says when it has started that its tools have changed: a client that has not asked
    for any list is not told. And if all servers are seen together and none knows a resource, it is
    not found; the error of one of them is not the answer.
    """
    expected = {**direct, "heard": [message for message in direct["heard"] if
                                    message["method"] != "notifications/tools/list_changed"]}
    if not prefix:
        return expected
    uri = "demo://resource/nowhere"
    return {**expected, uri: {"error": {
        "code": -32002, "message": f"Resource not found: {uri}", "data": {"uri": uri}}}}


def same(seen, expected):
    assert seen.keys() == expected.keys()
    for key in expected:
        assert seen[key] == expected[key], key
