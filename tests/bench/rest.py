"""What it saves that servers rest: python rest.py [--quick]. Prints a Markdown table.

Fifteen servers, of which three are used, and one client over stdio, whose router starts with it.
In one row all servers run; in the other they start at their first use, and what nobody needs ends
after three seconds. What the servers list was learned before. The server is one that starts fast;
most take ten or fifty times as long, and have five times its memory.
"""

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from bench import ROOT, SERVER, megabytes, tree
from clients import Stdio

SERVERS, USED = 15, 3
IDLE = 0.05     # minutes
ROWS = {"all running": {"idle": 0}, "at first use, and idle": {"start": "first-use", "idle": IDLE}}
COLUMNS = ["initialize, ms", "and all lists, ms", "the first call of a server, ms",
           "the second, ms", "processes then", "servers, MB"]
LISTS = "tools/list", "prompts/list", "resources/list"


class Client(Stdio):
    """The client of one round."""

    async def measure(self):
        times = [time.perf_counter()]
        await self.open()
        times.append(time.perf_counter())
        for method in LISTS:
            await self._ask(method, {})
        times.append(time.perf_counter())
        calls = [[await self._seconds(f"s{n}__echo") for n in range(USED)] for _ in range(2)]
        if self.rests:
            await asyncio.sleep(60 * IDLE - 1)
            for n in range(USED):   # so that these are still needed
                await self._seconds(f"s{n}__echo")
            await asyncio.sleep(2)
        _, servers = tree(self.process.pid)
        await self.close()
        return [1000 * (times[1] - times[0]), 1000 * (times[2] - times[0]),
                *(1000 * statistics.median(each) for each in calls), len(servers),
                megabytes(servers)]

    async def _seconds(self, tool):
        self.tool, begun = tool, time.perf_counter()
        await self.call()
        return time.perf_counter() - begun


def one_round(name, folder):
    path = folder / f"{len(ROWS[name])}.json"
    path.write_text(json.dumps({**ROWS[name], "mcpServers": {
        f"s{n}": {"command": SERVER[0], "args": [*SERVER[1:], str(n)]} for n in range(SERVERS)}}))
    client = Client("", [sys.executable, str(ROOT / "router.py"), "--log-level", "error",
                         "--config", str(path)])
    client.rests = "start" in ROWS[name]
    return asyncio.run(client.measure())


def main():
    rounds = 2 if "--quick" in sys.argv else 6      # in the first one they are learned
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        measured = {name: [] for name in ROWS}
        for _ in range(rounds):
            for name, found in measured.items():
                found.append(one_round(name, Path(folder)))
    print(f"{date.today()}, Python {platform.python_version()}, {os.cpu_count()} cores, median of "
          f"{rounds - 1} rounds\n\n|  | {' | '.join(COLUMNS)} |\n| --- |{' --: |' * len(COLUMNS)}")
    for name, found in measured.items():
        numbers = (f"{statistics.median(each):.3g}" for each in zip(*found[1:]))
        print(f"| {name} | {' | '.join(numbers)} |")


if __name__ == "__main__":
    main()
