"""Fixtures for all tests, and the check that none of them leaves anything behind."""

import json
import signal
import subprocess
import sys
import threading
import time

import hypothesis
import pytest

from transports.fabric.peers import passing
from transports.fabric.text import hidden
from transports.program.signals import SIGNALS, end_on_signals

import processes

# A slow machine is no failure.
hypothesis.settings.register_profile("many", deadline=None, max_examples=300)
hypothesis.settings.register_profile("few", deadline=None, max_examples=5)


def pytest_addoption(parser):
    parser.addoption("--few-examples", action="store_true", help="of what is random")


def pytest_configure(config):
    hypothesis.settings.load_profile("few" if config.getoption("--few-examples") else "many")


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """A test that leaves a thread or a child process alive has failed."""
    threads, children = set(threading.enumerate()), processes.children()
    yield
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = {thread for thread in threading.enumerate() if thread.is_alive()} - threads
        orphans = processes.children() - children
        if not left and not orphans:
            return
        for thread in left:
            thread.join(0.1)
        if orphans:
            threading.Event().wait(0.05)
    pytest.fail(f"left behind: threads {left}, processes "
                f"{[processes.command(pid) for pid in orphans]}")


@pytest.fixture(autouse=True)
def nobody_looks():
    """These are one for the whole program; a tap goes on for a minute after the last look."""
    yield
    observer, passing.observer, passing.watched = passing.observer, None, False
    hidden.texts = ()
    if observer:
        observer.__init__()


@pytest.fixture
def start_router(tmp_path):
    """start_router(servers, *options) starts `router.py` over HTTP and returns a Running."""
    started = []

    def start(servers, *options, **more):
        running = processes.Running(tmp_path, servers, *options, **more)
        started.append(running)
        return running
    yield start
    for running in started:
        running.stop()


@pytest.fixture
def pipe():
    """pipe("tests/sdk_server.py", "both") starts a server and returns its Pipe."""
    started = []

    def start(*arguments):
        started.append(processes.Pipe(*arguments))
        return started[-1]
    yield start
    for server in started:
        server.end()


@pytest.fixture
def repository():
    return processes.ROOT


@pytest.fixture
def run():
    """Run a command to its end: run("python", "router.py", …, input=b"…")."""
    def run_it(*command, timeout=100, **more):
        return subprocess.run(command, capture_output=True, timeout=timeout, **more)
    return run_it


@pytest.fixture
def config(tmp_path):
    """config(servers) writes a config file."""
    def write(**servers):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"mcpServers": servers}))
        return str(path)
    return write


@pytest.fixture
def check(run, config):
    """check(servers) → (exit status, standard output); check(…, as_json=True) → its JSON."""
    def check_it(servers, as_json=False, **environment):
        done = run(sys.executable, processes.ROOT / "router.py", "--check", "--config",
                   config(**servers), *(["--json"] if as_json else []),
                   env={"PATH": "/usr/bin:/bin", **environment})
        assert b"Traceback" not in done.stderr
        check_it.log = done.stderr.decode()
        return done.returncode, json.loads(done.stdout) if as_json else done.stdout.decode()
    return check_it


@pytest.fixture
def timekeeper(repository):
    return {"command": "python3",
            "args": [str(repository / "upstreams" / "servers" / "timekeeper.py")]}


@pytest.fixture(autouse=True)
def ending():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    end_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
