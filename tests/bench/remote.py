"""What a call to a remote server costs, beside one to a process: python remote.py [--quick].

One router has the fast server as a process, and the same at a URL, where another router serves
it. One client calls both in turns, so that a noisy machine is noisy for both; first a client over
stdio, then one over Streamable HTTP. The CPU is that of the first router alone.
"""

import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from bench import ROOT, SERVER, cpu_seconds, free_port
from clients import Mcp, Stdio

FAST = {"command": SERVER[0], "args": SERVER[1:]}
ROUTER = [sys.executable, str(ROOT / "router.py"), "--log-level", "error", "--config"]
SERVERS = ("process", "remote")


@contextlib.contextmanager
def serving(config):
    """A router that serves this config over HTTP: (its process id, its port)."""
    port = free_port()
    with subprocess.Popen([*ROUTER, config, "--transport", "http", "--port", str(port)],
                          stderr=subprocess.PIPE) as router:
        try:
            while not (line := router.stderr.readline()).startswith(b"all together"):
                assert line, "the router has ended"
            yield router.pid, port
        finally:
            router.terminate()


async def costs(client, pid, rounds, calls):
    """{server: [ms of CPU a call, one for each round]}; `pid` None: that of the client's own."""
    await client.open()
    pid = pid or client.process.pid
    found = {server: [] for server in SERVERS}
    for _ in range(rounds):
        for server, cpu in found.items():
            client.tool = f"{server}__echo"
            for _ in range(100):    # to warm up
                await client.call()
            before = cpu_seconds(pid)
            for _ in range(calls):
                await client.call()
            cpu.append((cpu_seconds(pid) - before) * 1000 / calls)
    await client.close()
    return found


def row(name, found):
    process, remote = (statistics.median(found[server]) for server in SERVERS)
    times = statistics.median(one / other for other, one in zip(*found.values()))
    return f"| {name} | {process:.3f} | {remote:.3f} | {times:.2f} |"


def main():
    how = (3, 1000) if "--quick" in sys.argv else (7, 3000)
    with tempfile.TemporaryDirectory() as folder:
        far, near = str(Path(folder) / "far.json"), str(Path(folder) / "near.json")
        Path(far).write_text(json.dumps({"mcpServers": {"fast": FAST}}))
        with serving(far) as (_, port):
            Path(near).write_text(json.dumps({"mcpServers": {
                "process": FAST, "remote": {"url": f"http://127.0.0.1:{port}/mcp/fast"}}}))
            stdio = asyncio.run(costs(Stdio("", [*ROUTER, near]), None, *how))
            with serving(near) as (pid, port):
                http = asyncio.run(costs(Mcp("", port, "/mcp"), pid, *how))
    print(f"{date.today()}, Python {platform.python_version()}, {os.cpu_count()} cores, median of "
          f"{how[0]} rounds\n\n| CPU/call, ms | to a process | to a remote server | times "
          "(at most 3) |\n| --- | --: | --: | --: |\n" + row("client over stdio", stdio) + "\n"
          + row("client over Streamable HTTP", http))


if __name__ == "__main__":
    main()
