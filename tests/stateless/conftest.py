"""Here one router stands for all tests of a file: the servers behind it are of every era."""

import threading

import pytest

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
