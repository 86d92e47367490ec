"""What clients that can be asked cost: python sharing.py [--quick]. Prints a Markdown table.

A server that asks its client does not say which client it means. So a client that can be asked
gets a process of its own at its first call or, with `"shared": true`, a process that is free, for
the time of each call. Before its first call it needs none. Each row is a new router, over
Streamable HTTP, in front of one fast server. Processes are counted in /proc. Pages of memory that
several processes have in common count in each of them.
"""

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import urllib.request
from datetime import date
from pathlib import Path

from bench import ROOT, SERVER, System, megabytes, tree
from clients import Mcp

SESSIONS = (1, 50, 200)
COLUMNS = {
    "open": "open, ms", "listed": "processes, connected and listed",
    "called": "processes, each has called", "router": "router, MB", "servers": "servers, MB",
    "in turn": "calls/s, one at a time", "together": "calls/s, all at once",
    "then": "processes then"}


class Plain(Mcp):
    """A client that can be asked nothing. It is open when it has listed the tools."""

    async def open(self):
        begun = time.perf_counter()
        await super().open()
        await self._ask("tools/list", {})
        self.milliseconds = (time.perf_counter() - begun) * 1000
        return self


class Asked(Plain):
    """A client that can be asked, as most editors can."""

    capabilities = {"roots": {"listChanged": True}, "elicitation": {}}


PLAIN, ASKED, SHARED = "can be asked nothing", "can be asked", 'can be asked, `"shared": true`'
CLIENTS = {PLAIN: (Plain, {}), ASKED: (Asked, {}), SHARED: (Asked, {"shared": True})}


async def measure(client, config, sessions, calls, folder):
    """One round of one row; `config` stands beside `mcpServers`. What fails ends the run."""
    (folder / "config.json").write_text(json.dumps({**config, "mcpServers": {
        "fast": {"command": SERVER[0], "args": SERVER[1:]}}}))
    router = System("router", client, lambda port, folder: [
        sys.executable, str(ROOT / "router.py"), "--config", f"{folder}/config.json",
        "--transport", "http", "--port", str(port), "--max-processes", str(2 * max(SESSIONS))],
        "fast__echo", "/mcp")
    router.start(folder)
    try:
        wait_until_running(router.port)
        pid = router.process.pid
        clients = [await router.new_client(folder).open() for _ in range(sessions)]
        got = {"open": statistics.median(client.milliseconds for client in clients),
               "listed": len(tree(pid)[1])}
        await one_at_a_time(clients, 1)
        system, servers = tree(pid)
        got |= {"called": len(servers), "router": megabytes(system), "servers": megabytes(servers)}
        each = max(calls // sessions, 2)
        got["in turn"] = await one_at_a_time(clients, each)
        await all_at_once(clients, 1)  # starts what that takes
        got["together"] = await all_at_once(clients, each)
        got["then"] = len(tree(pid)[1])
        for client in clients:
            await client.close()
        return got
    finally:
        router.stop()


def wait_until_running(port):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
                if json.load(answer)["servers"]["fast"]["state"] == "running":
                    return
        except OSError:  # it does not listen yet
            pass
        time.sleep(0.01)
    raise TimeoutError("the router has not started")


async def one_at_a_time(clients, each):
    """Calls a second, if a session calls only when the session before it has its answer."""
    begun = time.perf_counter()
    for _ in range(each):
        for client in clients:
            await client.call()
    return each * len(clients) / (time.perf_counter() - begun)


async def all_at_once(clients, each):
    """Calls a second, if no session waits for another. With turns, starts are part of it."""
    async def calls(client):
        for _ in range(each):
            await client.call()
    begun = time.perf_counter()
    await asyncio.gather(*map(calls, clients))
    return each * len(clients) / (time.perf_counter() - begun)


def table(medians):
    """Markdown; `medians` is {(sessions, clients): {column: number}}."""
    rows = [["sessions", "clients", *COLUMNS.values()], ["--:", "---", *["--:"] * len(COLUMNS)]]
    for (sessions, clients), got in medians.items():
        rows.append([str(sessions), clients, *(
            f"{got[column]:,.3g}" if got[column] < 100 else f"{got[column]:,.0f}"
            for column in COLUMNS)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    quick = "--quick" in sys.argv
    rounds = {(sessions, name): [] for sessions in SESSIONS for name in CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        for round in range(1 if quick else 3):
            for (sessions, name), measured in rounds.items():
                print(f"round {round + 1}: {sessions} × {name}", file=sys.stderr, flush=True)
                measured.append(asyncio.run(measure(
                    *CLIENTS[name], sessions, 400 if quick else 2000, Path(folder))))
    medians = {row: {column: statistics.median(one[column] for one in measured)
                     for column in COLUMNS} for row, measured in rounds.items()}
    print(f"{date.today()}, Python {platform.python_version()}, {os.cpu_count()} cores, "
          f"{'one round' if quick else 'median of three rounds'}\n\n{table(medians)}\n")
    for sessions in SESSIONS:
        ratio = medians[sessions, ASKED]["open"] / medians[sessions, PLAIN]["open"]
        print(f"{sessions} sessions: one that can be asked opens in {ratio:.2g} times the time")
    print("The first one that can be asked waits for the process that lists for all of them.")


if __name__ == "__main__":
    main()
