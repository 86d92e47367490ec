"""What ten open live pages cost: python pages.py [--quick]. Prints a Markdown table.

Two routers, with and without pages, take turns with short blocks of the same calls, so that a
noisy machine is noisy for both. The pages read all that they are sent, in a process of their own.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date

from bench import ROOT, SERVER, System
from clients import Mcp, Sse

PAGES = 10
READER = """
import socket, sys, threading
def read():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as page:
        page.sendall(b"GET /live/events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        while page.recv(2**20):
            pass
threads = [threading.Thread(target=read) for _ in range(int(sys.argv[2]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
COLUMNS = ("p50, ms", "p50, ms, ten pages", "ratio", "calls/s 10×1", "calls/s 10×1, ten pages",
           "ratio")


async def begin(client, path, folder):
    """A router and ten clients of it."""
    system = System("router", client, lambda port, folder: [
        sys.executable, str(ROOT / "router.py"), "--config", f"{folder}/config.json",
        "--transport", "http", "--port", str(port)], "fast__echo", path)
    system.start(folder)
    while True:
        one = system.new_client(folder)
        try:
            await one.open()
            break
        except Exception:
            await one.close()
            await asyncio.sleep(0.05)
    return system, [one, *[await system.new_client(folder).open() for _ in range(9)]]


async def p50(clients, calls=200):
    times = []
    for _ in range(calls):
        begun = time.perf_counter()
        await clients[0].call()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


async def rate(clients, calls=40):
    async def one(client):
        for _ in range(calls):
            await client.call()
    begun = time.perf_counter()
    await asyncio.gather(*map(one, clients))
    return len(clients) * calls / (time.perf_counter() - begun)


async def compare(client, path, folder, blocks):
    """[median without, median with, median of the ratios] for p50, then for calls/s."""
    plain, plain_clients = await begin(client, path, folder)
    watched, watched_clients = await begin(client, path, folder)
    pages = subprocess.Popen([sys.executable, "-c", READER, str(watched.port), str(PAGES)])
    try:
        row = []
        for measure in p50, rate:
            await measure(plain_clients)
            await measure(watched_clients)  # to warm up
            pairs = [(await measure(plain_clients), await measure(watched_clients))
                     for _ in range(blocks)]
            row += [*map(statistics.median, zip(*pairs)),
                    statistics.median(with_pages / without for without, with_pages in pairs)]
        return row
    finally:
        for one in (*plain_clients, *watched_clients):
            await one.close()
        plain.stop()
        watched.stop()
        pages.wait()


def main():
    blocks = 20 if "--quick" in sys.argv else 60
    print(f"{date.today()}, Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print("|  | " + " | ".join(COLUMNS) + " |\n| --- |" + " --: |" * len(COLUMNS))
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/config.json", "w") as config:
            json.dump({"mcpServers": {"fast": {"command": SERVER[0], "args": SERVER[1:]}}}, config)
        for name, client, path in (("SSE", Sse, "/sse"), ("Streamable HTTP", Mcp, "/mcp")):
            row = asyncio.run(compare(client, path, folder, blocks))
            print(f"| {name} | " + " | ".join(
                f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in row) + " |")


if __name__ == "__main__":
    main()
