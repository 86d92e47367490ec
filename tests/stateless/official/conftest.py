"""Here one router stands for all tests of a file: the servers behind it are of every era."""

import http.client
import json
import threading

import pytest
from modern_by_hand import asks, headers_of

import processes
from sdk_tour import sdk

SERVERS = ("legacy", "modern", "both")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_of_the_file():
    threads, children = set(threading.enumerate()), processes.children()
    yield
    assert processes.wait_until(lambda: processes.children() <= children), [
        processes.command(pid) for pid in processes.children() - children]
    assert set(threading.enumerate()) <= threads


@pytest.fixture(autouse=True)
def nothing_is_left(nothing_is_left_of_the_file):
    """Instead of what each test must leave: a standing router keeps what it has started."""


@pytest.fixture(scope="module")
def standing_router(tmp_path_factory, nothing_is_left_of_the_file):
    """standing_router(servers, …) starts a router for the tests of this file."""
    started = []

    def start(servers, *options, **more):
        started.append(processes.Running(tmp_path_factory.mktemp("router"), servers, *options,
                                         **more))
        return started[-1]
    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="module")
def router(standing_router):
    """A router in front of the SDK's server in each era; the server's name is that era."""
    return standing_router({server: sdk(server, server) for server in SERVERS})


@pytest.fixture(scope="session")
def ask():
    """ask(running, path, method, …) sends a request by hand → (what was told before the answer,
    the result or the error)."""
    def ask_it(running, path, method, capabilities={}, token=None, **params):
        message = asks(method, meta={
            "io.modelcontextprotocol/clientCapabilities": capabilities,
            "io.modelcontextprotocol/logLevel": "info", "progressToken": token}, **params)
        connection = http.client.HTTPConnection(running.url.split("/")[2], timeout=30)
        connection.request("POST", path, json.dumps(message), headers_of(message))
        with connection.getresponse() as response:
            body = response.read().decode()
        connection.close()
        lines = [body] if response.headers["Content-Type"] == "application/json" else [
            line[len("data:"):] for line in body.splitlines() if line.startswith("data:")]
        *told, answer = map(json.loads, lines)
        assert answer["id"] == message["id"]
        return told, answer.get("result") or answer["error"]
    return ask_it
