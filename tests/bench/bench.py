"""The router beside its peers, in one run: python bench.py [--quick]. Prints a Markdown table.

Every system runs the same fast server, gets the same load from the same clients, and every answer
is checked. The systems take turns, round after round, so that a noisy machine is noisy for all;
a number is the median of the rounds. What fails is shown as failing.
"""

import asyncio
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from clients import ByMetaTool, Mcp, Modern, Sse, Stdio

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PEERS = Path(os.environ.get("TOX_WORK_DIR", ROOT / ".tox")) / "peers"
SERVER = [sys.executable, str(HERE / "fast_server.py")]
PYPI = {"mcp-proxy": "0.13.0", "fastmcp": "4.1.2"}
NPM = {"mcp-proxy": "6.7.19", "mcp-hub": "4.2.1", "@standardbeagle/slop-mcp": "0.15.0"}

COLUMNS = {
    "start": "cold start, s", "p50": "p50, ms", "p95": "p95, ms", "p99": "p99, ms",
    "1x16": "calls/s 1×16", "10x1": "calls/s 10×1", "50x1": "calls/s 50×1",
    "200x1": "calls/s 200×1",
    "10KB": "10 KB, ms", "1MB": "1 MB, ms", "cpu": "CPU/call, ms",
    "mb1": "MB, 1 session", "mb50": "MB, 50", "mb200": "MB, 200",
    "idle": "p50 beside 500 idle, ms", "failures": "failures"}

# What is compared with what, and in which columns; the larger number is the better one.
MORE_IS_BETTER = {"1x16", "10x1", "50x1", "200x1"}
AS_ONE = "mcp-proxy (PyPI), SSE"
AGAINST = ("cpu", "p50", "p95", "1x16", "50x1", "start", "mb200", "1MB")


class System:
    """One thing to measure: how it is started, and the client that talks to it."""

    def __init__(self, name, client, command, tool="echo", path=None):
        self.name, self.client, self.command = name, client, command
        self.tool, self.path = tool, path
        self.rounds = []

    def start(self, folder):
        self.port = free_port()
        self.process = None
        if self.path:
            self.process = subprocess.Popen(self.command(self.port, folder),
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            start_new_session=True)

    def new_client(self, folder):
        if self.path:
            return self.client(self.tool, self.port, self.path)
        return Stdio(self.tool, self.command(None, folder))

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(self.process.pid, 9)
            except ProcessLookupError:
                pass
            self.process.wait()


def systems():
    """Ours, the floor, and the peers that a user would pick."""
    def ours(port, folder):
        return [sys.executable, str(ROOT / "router.py"), "--config", f"{folder}/config.json",
                *(["--transport", "sse", "--port", str(port)] if port else [])]

    def program(name, *arguments):
        return lambda port, folder: [str(PEERS / name), *(
            part.format(port=port, folder=folder) for part in arguments)]
    proxy = program("pypi-mcp-proxy/bin/mcp-proxy", "--port", "{port}", *SERVER)
    node_proxy = program("npm/node_modules/.bin/mcp-proxy", "--host", "127.0.0.1", "--port",
                         "{port}", "--", *SERVER)
    return [
        System("**this router**, SSE", Sse, ours, "fast__echo", "/sse"),
        System("**this router**, Streamable HTTP", Mcp, ours, "fast__echo", "/mcp"),
        System("**this router**, revision 2026-07-28", Modern, ours, "fast__echo", "/mcp"),
        System("mcp-proxy (PyPI), SSE", Sse, proxy, path="/sse"),
        System("mcp-proxy (PyPI), Streamable HTTP", Mcp, proxy, path="/mcp"),
        System("fastmcp (PyPI), SSE", Sse, program(
            "pypi-fastmcp/bin/fastmcp", "run", "{folder}/config.json", "--transport", "sse",
            "--port", "{port}", "--no-banner"), path="/sse"),
        System("fastmcp (PyPI), Streamable HTTP", Mcp, program(
            "pypi-fastmcp/bin/fastmcp", "run", "{folder}/config.json", "--transport", "http",
            "--port", "{port}", "--no-banner"), path="/mcp"),
        System("mcp-proxy (npm), SSE", Sse, node_proxy, path="/sse"),
        System("mcp-proxy (npm), Streamable HTTP", Mcp, node_proxy, path="/mcp"),
        System("mcp-hub (npm), SSE", Sse, program(
            "npm/node_modules/.bin/mcp-hub", "--port", "{port}", "--config",
            "{folder}/config.json"), "fast__echo", "/mcp"),
        # Written in Go; its package starts it by Node. It reads the config of its folder.
        System("slop-mcp (npm), SSE", ByMetaTool, lambda port, folder: [
            "env", "-C", str(folder), f"HOME={folder}",
            str(PEERS / "npm/node_modules/.bin/slop-mcp"), "serve", "--port", str(port)],
            path="/sse"),
        System("**this router**, stdio", Stdio, ours, "fast__echo"),
        System("the server directly, stdio", Stdio, lambda port, folder: SERVER),
    ]


# -- measuring


async def measure(system, folder, scale):
    """One round of one system; what it does not get to is missing."""
    got = {"failures": 0}
    clients = []

    async def opened(how_many):
        while len(clients) < how_many:
            more = min(10, how_many - len(clients))
            clients.extend(await asyncio.gather(*(
                system.new_client(folder).open() for _ in range(more))))

    async def attempt(call):
        try:
            await call
        except Exception:
            got["failures"] += 1

    begun = time.perf_counter()
    system.start(folder)
    while True:
        client = system.new_client(folder)
        try:
            await client.open()
            await client.call()
            break
        except Exception:
            await client.close()
            if time.perf_counter() - begun > 30:
                raise
            await asyncio.sleep(0.01)
    got["start"] = time.perf_counter() - begun
    clients.append(client)
    pid = system.process.pid if system.process else client.process.pid

    async def rate(sessions, at_once, calls):
        async def one(client):
            for _ in range(calls):
                await attempt(client.call())
        begun = time.perf_counter()
        await asyncio.gather(*(one(client) for client in clients[:sessions]
                               for _ in range(at_once)))
        return sessions * at_once * calls / (time.perf_counter() - begun)

    async def one_by_one(calls):
        times = []
        for _ in range(calls):
            begun = time.perf_counter()
            await attempt(client.call())
            times.append((time.perf_counter() - begun) * 1000)
        return sorted(times)

    await rate(1, 1, 100)  # to warm up
    cpu, times = cpu_seconds(pid), await one_by_one(500 * scale)
    got["cpu"] = (cpu_seconds(pid) - cpu) * 1000 / len(times)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        got[name] = times[int(len(times) * share)]
    got["1x16"] = await rate(1, 16, 50 * scale)
    for name, size, how_many in (("10KB", 10_000, 50), ("1MB", 1_000_000, 10)):
        begun = time.perf_counter()
        for _ in range(how_many):
            await attempt(client.call(size))
        got[name] = (time.perf_counter() - begun) * 1000 / how_many
    got["mb1"] = megabytes(tree(pid)[0])
    if system.path:
        await opened(10)
        got["10x1"] = await rate(10, 1, 50 * scale)
        await opened(50)
        got["50x1"] = await rate(50, 1, 10 * scale)
        got["mb50"] = megabytes(tree(pid)[0])
        await opened(200)
        await rate(200, 1, 1)
        got["200x1"] = await rate(200, 1, 5 * scale)
        got["mb200"] = megabytes(tree(pid)[0])
        await opened(501)
        got["idle"] = statistics.median(await one_by_one(100 * scale))
    for client in clients:
        await client.close()
    return got


def tree(pid):
    """(the processes of a system, those of the servers behind it), as {pid: fields of its stat}.

    Servers are counted apart because they are the same in every system. Where the system is
    nothing but the server, it counts as the system.
    """
    table = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = status.read_text().rpartition(")")
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        table[int(head.split()[0])] = (int(rest.split()[1]), rest.split(), command)
    found, parents = {pid}, {pid}
    while parents:
        parents = {child for child, (parent, _, _) in table.items() if parent in parents} - found
        found |= parents
    server = "\0".join(SERVER).encode()
    servers = {one for one in found - {pid} if table[one][2].startswith(server)}
    return ({one: table[one][1] for one in found - servers},
            {one: table[one][1] for one in servers})


def cpu_seconds(pid):
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in tree(pid)[0].values())
    return ticks / os.sysconf("SC_CLK_TCK")


def megabytes(processes):
    """The memory of {pid: fields of its stat}."""
    return sum(int(stat[21]) for stat in processes.values()) * os.sysconf("SC_PAGESIZE") / 2**20


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def install():
    """The peers, pinned, once, each where it cannot disturb the others."""
    for name, version in PYPI.items():
        folder = PEERS / f"pypi-{name}"
        if not (folder / "bin" / name).exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([str(folder / "bin" / "pip"), "install", "-q", f"{name}=={version}"],
                           check=True)
    if not all((PEERS / "npm" / "node_modules" / name).exists() for name in NPM):
        subprocess.run([shutil.which("npm"), "install", "--prefix", str(PEERS / "npm"),
                        *(f"{name}@{version}" for name, version in NPM.items())], check=True)


# -- the table


def table(measured):
    rows = [["", *COLUMNS.values()], ["---", *["--:"] * len(COLUMNS)]]
    for system in measured:
        rows.append([system.name, *(cell(system, column) for column in COLUMNS)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def cell(system, column):
    values = [one[column] for one in system.rounds if column in one]
    if not values:
        return "fails" if not system.rounds else ""
    if column == "failures":
        return str(sum(values))
    value = statistics.median(values)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratios(measured):
    """How many times better ours is than the system that counts as one."""
    medians = {system.name: {column: statistics.median(one[column] for one in system.rounds)
                             for column in AGAINST if column in system.rounds[0]}
               for system in measured if system.rounds}
    if AS_ONE not in medians:
        return ""
    lines = []
    for name, ours in medians.items():
        if "this router" in name and "start" in ours and "50x1" in ours:
            better = {column: ours[column] / medians[AS_ONE][column] for column in AGAINST}
            lines.append(f"{name} is better than {AS_ONE} by: " + ", ".join(
                f"{COLUMNS[column]} {ratio if column in MORE_IS_BETTER else 1 / ratio:.1f}"
                for column, ratio in better.items()))
    return "\n".join(lines)


def main():
    quick = "--quick" in sys.argv
    only = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    install()
    folder = PEERS / "run"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"mcpServers": {
        "fast": {"command": SERVER[0], "args": SERVER[1:]}}}))
    (folder / ".slop-mcp.kdl").write_text(
        'mcp "fast" {\n    command "%s"\n    args "%s"\n}\n' % tuple(SERVER))
    chosen = [system for system in systems() if not only or any(w in system.name for w in only)]
    for round in range(1 if quick else 3):
        for system in chosen:
            print(f"round {round + 1}: {system.name}", file=sys.stderr, flush=True)
            try:
                system.rounds.append(asyncio.run(asyncio.wait_for(
                    measure(system, folder, 1 if quick else 2), 120)))
            except Exception as problem:
                print(f"    fails: {problem!r}", file=sys.stderr, flush=True)
            finally:
                system.stop()
    print(f"{date.today()}, Python {platform.python_version()}, {os.cpu_count()} cores, "
          f"{'one round' if quick else 'median of three rounds'}\n\n{table(chosen)}\n\n"
          f"{ratios(chosen)}")


if __name__ == "__main__":
    main()
