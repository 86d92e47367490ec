"""A soak: python soak.py MINUTES [SEED]. Sessions come and go, servers are killed at random.

Every answer is checked for whose it is. At the end sessions, calls, streams, threads, file
descriptors and child processes must be back to what they were, and memory must not have grown.
"""

import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from transports.http.workers import SPARE

from by_hand import HELLO, Sse, call, get
from processes import Running, children, fake, wait_until
from streamable_by_hand import Http

WORKERS = 12
SERVERS = ("a", "b", "c")
QUICK = {"restart": {"pause": 0.05, "attempts": 1_000_000, "healthy": 0.2}}


def hello(askable):
    params = {**HELLO["params"], "capabilities": {"roots": {}} if askable else {}}
    return {**HELLO, "params": params}


class Worker(threading.Thread):
    """One person after another: connects, calls, and leaves, politely or not."""

    def __init__(self, running, number, seed, end, counts):
        super().__init__(name=f"worker-{number}")
        self.running, self.number, self.end, self.counts = running, number, end, counts
        self.random = random.Random(seed * 1000 + number)
        self.problem = None

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.one_session(self.random.choice([self.over_sse, self.over_mcp]))
        except BaseException as problem:
            self.problem = problem

    def one_session(self, how):
        self.counts["sessions"] += 1
        how(self.random.random() < 0.2, self.random.randint(1, 30))

    def next_call(self, id):
        """A call and what its answer must say; now and then one that kills its server."""
        server, text = self.random.choice(SERVERS), f"{self.number} {self.random.random()}"
        if self.random.random() < 0.001:
            self.counts["kills"] += 1
            return call(id, f"{server}__crash"), None
        return call(id, f"{server}__echo", text=text), text

    def check(self, message, expected):
        """Right, or an error that names a server that is not running at the moment."""
        if "error" in message:
            words = message["error"]["message"]
            assert message["error"]["code"] == -32000 and 'server "' in words, message
            self.counts["failed because a server was killed"] += 1
        else:
            assert message["result"]["content"][0]["text"] == expected, (message, expected)
            self.counts["right"] += 1

    def over_sse(self, askable, calls):
        with Sse(self.running.url, hello=False) as client:
            client.post(hello(askable))
            assert "result" in self.answer(client, 1)
            client.post({"method": "notifications/initialized"})
            waiting = {}
            for id in range(2, calls + 2):
                message, waiting[id] = self.next_call(id)
                assert client.post(message)[0] == 202
            if self.random.random() < 0.3:
                self.counts["left in the middle"] += 1
                return
            while waiting:
                message = client.get()
                if "id" in message and "method" not in message:
                    self.check(message, waiting.pop(message["id"]))

    def answer(self, client, id):
        while True:
            message = client.get()
            if message.get("id") == id and "method" not in message:
                return message

    def over_mcp(self, askable, calls):
        client = Http(self.running, hello=hello(askable))
        for id in range(2, calls + 2):
            message, expected = self.next_call(id)
            status, headers, body = client.post(message)
            assert status == 200 and headers["Content-Type"] == "application/json"
            answer = json.loads(body)
            assert answer["id"] == id
            self.check(answer, expected)
        response = client.open("DELETE")
        assert response.status == 200
        response.close()
        response.connection.close()


def measure(running):
    """What must be back at the end."""
    pid = running.process.pid
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = {line.split(":")[0]: line.split()[1]
               for line in status.splitlines() if len(line.split()) > 1}
    files = len(os.listdir(f"/proc/{pid}/fd"))  # before the next line opens a connection
    health = json.loads(get(f"{running.url}/health")[1])
    processes = [process for server in health["servers"].values()
                 for process in server["processes"]]
    return {"sessions": health["sessions"], "calls": health["callsInFlight"],
            "streams": health["streams"],
            "own": sum(bool(process["owner"] or process["heldBy"]) for process in processes),
            "threads": int(numbers["Threads"]), "files": files,
            "children": len(children(pid)), "MB": int(numbers["VmRSS"]) // 1024}


def work(running, seconds, seed, counts):
    end = time.monotonic() + seconds
    workers = [Worker(running, number, seed, end, counts) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    problems = [f"{worker.name}: {worker.problem!r}" for worker in workers if worker.problem]
    assert not problems, "\n".join(problems)


def at_rest(running, before=None):
    """Wait until what has ended has been cleaned up; then measure."""
    samples = []

    def settled():
        samples.append(measure(running))
        now = samples[-1]
        servers = json.loads(get(f"{running.url}/health")[1])["servers"].values()
        return (now["sessions"] == now["streams"] == 1 and now["calls"] == now["own"] == 0
                and now["children"] == len(SERVERS) + 1
                and all(server["state"] == "running" for server in servers)
                and (before is None or all(now[what] <= before[what] for what in
                                           ("threads", "files"))))
    wait_until(settled, 20)
    return samples[-1]


def main(minutes, seed):
    print(f"soak: {minutes:g} minutes, seed {seed}", flush=True)
    counts = Counter()
    with tempfile.TemporaryDirectory() as folder:
        running = Running(Path(folder), {name: {**fake(), **QUICK} for name in SERVERS},
                          ready=False)
        stays = Sse(running.url)  # else nobody would need a server at rest
        try:
            # To warm up: as many workers as are ever kept without a stream, and then some work.
            for stream in [Sse(running.url) for _ in range(4 * SPARE)]:
                stream.close()
            work(running, min(30, minutes * 15), seed, Counter())
            before = at_rest(running)
            print("before:", before, flush=True)
            work(running, minutes * 60, seed + 1, counts)
            after = at_rest(running, before)
            print("after: ", after, "\n", dict(counts))
        finally:
            stays.close()
            status = running.stop()
    tracebacks = [line for line in running.lines
                  if re.search("Traceback|a bug in|survived an error", line)]
    assert status == 0 and not tracebacks, tracebacks
    for what in ("sessions", "calls", "streams", "own", "threads", "files", "children"):
        assert after[what] <= before[what], what
    assert after["MB"] <= before["MB"] * 1.2 + 10, "memory has grown"
    print(f"{counts['right']} passed, 0 failed")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2,
         int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
