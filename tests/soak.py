"""A soak: python soak.py MINUTES [SEED]. All that can happen at once, for as long as is asked.

Legacy and modern servers, near and far (another router, and a modern server over HTTP), shared in
all forms, are called by people who come and go, over /sse and /mcp. Some can be asked, some vanish
in the middle. Servers are killed, and entries of the config come, change and go.

Every text has the name of its person in it, so what reaches another is seen. A call ends

    right       with its own answer
    failed      with an error for a reason that is known here
    wrong       with anything else
    lost        with nothing within LOST seconds
    crossed     counts whatever reached a person and is another's

At the end sessions, calls, streams, threads, files and processes must be back to what they were,
and memory must not have grown.
"""

import contextlib
import json
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from transports.http.workers import SPARE
from upstreams.connections.remote.senders import MOST_FREE

from by_hand import HELLO, Sse, call, get, post
from processes import ROOT, Running, children, wait_until
from streamable_by_hand import Http, close, events

PEOPLE = 12             # at a time
LOST = 90.0             # seconds
REST = 75.0             # seconds, at most, until what has ended is cleaned up
RELOAD = 4.0            # seconds between two changes of the config
THREADS, FILES = 4, 3   # of one process of a server
QUICK = {"restart": {"pause": 0.05, "attempts": 1_000_000, "healthy": 0.2}}
ASKABLE = {"roots": {}, "sampling": {}, "elicitation": {}}
NAME = re.compile(r"person-\d+-\d+;")
COMES, CHANGES = "comes", "changes"     # entries of the config
CRASHES = "old", "turns", "own", "new", "far", "farsse"
STABLE = *CRASHES, "farnew"
ALL = *STABLE, COMES, CHANGES


def entry(*mode, **more):
    return {"command": sys.executable, "args": [str(ROOT / "tests" / "soak_server.py"), *mode],
            **QUICK, **more}


class Person(threading.Thread):
    """One after another: each connects, calls, and leaves, politely or not."""

    def __init__(self, running, number, seed, end, counts, problems):
        super().__init__(name=f"worker-{number}")
        self.running, self.number, self.end = running, number, end
        self.counts, self.problems = counts, problems
        self.random, self.visits = random.Random(seed * 1000 + number), 0
        self.waiting, self.since = {}, math.inf     # calls without an answer; when the last came
        self.left = []          # sessions of /mcp without a goodbye

    def run(self):
        try:
            while time.monotonic() < self.end and not self.problems:
                self.visit()
            for client in self.left:    # else the end would wait until they are idle
                close(client.open("DELETE"))
        except BaseException as problem:
            self.problems.append(f"{self.name}: {problem!r}, with {self.waiting}")

    def visit(self):
        self.visits += 1
        self.waiting, self.since = {}, time.monotonic()
        self.me = f"person-{self.number}-{self.visits};"
        self.server = self.random.choice([None, None, None, *STABLE])     # None: all together
        self.askable = self.random.random() < 0.4
        self.counts["sessions"] += 1
        path = self.server and f"/{self.server}" or ""
        hello = {**HELLO, "params": {**HELLO["params"], "clientInfo": {
            "name": self.me, "version": "1"}, "capabilities": ASKABLE if self.askable else {}}}
        self.random.choice([self.over_sse, self.over_mcp])(path, hello)

    def next_call(self, id):
        """A call; what its answer must say is kept."""
        server = self.server or self.random.choice(ALL)
        chance, text = self.random.random(), f"{self.me} {self.random.random()}"
        tool = "ask" if self.askable and chance < 0.2 else "tell" if chance < 0.4 else "echo"
        if chance > 0.997 and server in CRASHES:
            self.counts["kills"] += 1
            tool = "crash"
        message = call(id, tool if self.server else f"{server}__{tool}", text=text,
                       kind=self.random.choice([*ASKABLE]))
        message["params"]["_meta"] = {"progressToken": f"token {self.me} {id}"}
        self.waiting[id] = tool, text, message["params"]["name"]
        self.counts["calls"] += 1
        return message

    def hear(self, message, reply):
        """One message for this person, whatever it is; reply(message) answers a question."""
        self.since = time.monotonic()
        if others := set(NAME.findall(json.dumps(message))) - {self.me}:
            self.counts["crossed"] += 1
            self.problems.append(f"crossed: {self.me} got {message} of {others}")
        if "method" not in message:
            self.check(message, *self.waiting.pop(message["id"]))
        elif "id" in message:
            self.counts["questions"] += 1
            reply({"id": message["id"], "result": {
                "roots/list": {"roots": [{"uri": f"file:///{self.me}"}]},
                "elicitation/create": {"action": "accept", "content": {"name": self.me}},
                "sampling/createMessage": {"role": "assistant", "model": "m", "content": {
                    "type": "text", "text": self.me}}}[message["method"]]})
        else:
            self.counts[message["method"].split("/")[1]] += 1

    def check(self, message, tool, text, name):
        said = message.get("result", {}).get("content", [{}])[0].get("text", "")
        if "error" in message:
            code, words = message["error"]["code"], message["error"]["message"]
            what = ("failed: is down" if code == -32000 and 'server "' in words else
                    "failed: is not in the config" if COMES in name
                    and (code, words) == (-32602, f"Unknown tool: {name}") else "wrong")
        else:
            is_right = said == text or tool == "ask" and self.me in said and "failed" not in said
            what = "right" if is_right else "wrong"
        self.counts[what] += 1
        if what == "wrong":
            self.problems.append(f"wrong: {name} of {text}: {message}")

    def over_sse(self, path, hello):
        """HTTP+SSE: many calls at a time."""
        with Sse(self.running.url, f"/sse{path}", hello=False) as client:
            client.post(hello)
            while (message := client.get()).get("id") != 1:
                pass
            if "error" in message:      # the one server that it sees has just been killed
                self.counts["no session"] += 1
                return
            client.post({"method": "notifications/initialized"})
            for id in range(2, self.random.randint(3, 30)):
                assert client.post(self.next_call(id))[0] == 202
            vanishes = self.random.random() < 0.3
            self.counts["vanished"] += vanishes
            while self.waiting and not vanishes:
                self.hear(client.get(), client.post)

    def over_mcp(self, path, hello):
        """Streamable HTTP: one call after another."""
        client = Http(self.running, f"/mcp{path}", hello=None)
        _, headers, body = client.post(hello)
        client.id = headers["Mcp-Session-Id"]
        if "error" in json.loads(body):
            self.counts["no session"] += 1
        else:
            assert client.post({"method": "notifications/initialized"})[0] == 202
            for id in range(2, self.random.randint(3, 30)):
                message = self.next_call(id)
                if self.random.random() < 0.02:
                    self.vanish(client, message)
                    return
                response = client.open("POST", message)
                with contextlib.closing(response.connection), response:
                    self.read_answer(client, response)
        close(client.open("DELETE"))

    def read_answer(self, client, response):
        assert response.status == 200, (response.status, response.read())
        if response.headers["Content-Type"] == "application/json":
            self.hear(json.loads(response.read()), None)
        while self.waiting and not response.isclosed():
            for _, message in events(response, 1):
                if message:
                    self.hear(message, lambda answer: client.post(answer))

    def vanish(self, client, message):
        """In the middle of a request, or without waiting for its answer."""
        self.counts["vanished"] += 1
        whole = post(client.path, message, f"Mcp-Session-Id: {client.id}")
        with socket.create_connection(client.netloc.split(":"), 10) as sock:
            sock.sendall(whole[:self.random.choice([len(whole) // 2, len(whole) - 9, None])])
        self.left.append(client)


class Reloads(threading.Thread):
    """Change the config while all of it runs; at the end it is what it was."""

    def __init__(self, running, servers, seed, counts):
        super().__init__(name="reloads")
        self.running, self.servers, self.counts = running, servers, counts
        self.random, self.over = random.Random(seed), threading.Event()

    def run(self):
        while not self.over.wait(RELOAD):
            more = {COMES: entry("legacy")} if self.random.random() < 0.5 else {}
            more[CHANGES] = entry("modern", env={"N": str(self.random.randrange(3))})
            self.write({**self.servers, **more})
        self.write(self.servers)

    def write(self, servers):
        new = self.running.config.with_suffix(".new")
        new.write_text(json.dumps({"mcpServers": servers}))
        os.replace(new, self.running.config)
        self.running.process.send_signal(signal.SIGHUP)
        self.counts["reloads"] += 1


def measure(running):
    """What must be back at the end. Of threads and files, those beside the processes'."""
    pid = running.process.pid
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    files = len(os.listdir(f"/proc/{pid}/fd"))  # before the next line opens a connection
    health = json.loads(get(f"{running.url}/health")[1])
    every = [process for server in health["servers"].values() for process in server["processes"]]
    near = [process for process in every if process["pid"]]
    return {"sessions": health["sessions"], "calls": health["callsInFlight"],
            "streams": health["streams"],
            "own": sum(bool(process["owner"] or process["heldBy"]) for process in every),
            "threads": int(status["Threads"]) - THREADS * len(near),
            "files": files - FILES * len(near),
            "orphans": len(children(pid)) - 1 - len(near),    # one is the guardian
            "processes": len(near), "MB": int(status["VmRSS"].split()[0]) // 1024}


def work(running, servers, seconds, seed, counts):
    """Returns when it is over. Whatever is wrong ends the soak."""
    end, problems = time.monotonic() + seconds, []
    people = [Person(running, number, seed, end, counts, problems) for number in range(PEOPLE)]
    reloads = Reloads(running, servers, seed, counts)
    for thread in (*people, reloads):
        thread.start()
    for person in people:
        while person.is_alive():
            person.join(1)
            for one in people:
                if one.is_alive() and time.monotonic() - one.since > LOST:
                    counts["lost"] += len(one.waiting)
                    running.process.send_signal(signal.SIGABRT)     # it says where each thread is
                    wait_until(lambda: "(the end)" in running.lines, 10)
                    print(f"lost: {one.me} waits for {one.waiting}", *problems,
                          *running.lines[-300:], sep="\n", flush=True)
                    os._exit(1)
    reloads.over.set()
    reloads.join()
    assert not problems, "\n".join(problems[:20])


def at_rest(routers, before=None):
    """Wait until what has ended has been cleaned up; then measure."""
    deadline = time.monotonic() + REST
    while True:
        found = [measure(running) for running in routers]
        ours = found[0]
        if (ours["sessions"] == ours["streams"] == 1 and ours["own"] == 0
                and all(each["calls"] == each["orphans"] == 0 for each in found)
                and not (before and grown(before, found))) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def grown(before, after):
    """What there is more of than before. Free threads and kept connections have a bound, and
    there may be a few more; what leaks comes to more in the end. Memory is compared from the
    middle on: what is kept for a minute is all there only then."""
    most = {"threads": lambda n: n + 10, "files": lambda n: n + 10, "MB": lambda n: n * 1.2 + 10,
            "processes": lambda n: math.inf}
    return [what for old, new in zip(before, after)
            for what in old if new[what] > most.get(what, lambda n: n)(old[what])]


def tell(when, counts, figures):
    print(f"{when}: {dict(counts)}", *(f"    {name}: {each}" for name, each in zip(
        ("router", "far router"), figures)), sep="\n", flush=True)


def warm_up(near, far):
    """As many threads as are ever kept for what may come: workers, and senders to far servers."""
    for running in (near, far):
        for stream in [Sse(running.url) for _ in range(4 * SPARE)]:
            stream.close()
    for server in ("far", "farsse", "farnew"):
        with Sse(near.url, f"/sse/{server}") as client:
            for id in range(2, 4 * MOST_FREE):
                client.post(call(id, "echo", text="x"))
            for id in range(2, 4 * MOST_FREE):
                client.get()


@contextlib.contextmanager
def modern_server():
    http = entry("http")
    with subprocess.Popen([http["command"], *http["args"]], stdout=subprocess.PIPE) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
        finally:
            server.kill()


@contextlib.contextmanager
def router(folder, servers, logs):
    folder.mkdir()
    running = Running(folder, servers, "--idle-minutes", "1", ready=False)
    try:
        yield running
    finally:
        status = running.stop()
        logs += [f"exit status {status}"] * bool(status) + [line for line in running.lines if (
            re.search("Traceback|a bug in|survived an error|was lost", line))]


def main(minutes, seed):
    print(f"soak: {minutes:g} minutes, seed {seed}", flush=True)
    warm, logs = min(30, minutes * 10), []
    counts = Counter(dict.fromkeys(("calls", "right", "wrong", "lost", "crossed"), 0))
    with tempfile.TemporaryDirectory() as name, modern_server() as modern, router(
            Path(name, "far"), {"turns": entry("legacy", shared=True), "old": entry("legacy")},
            logs) as far:
        servers = {
            "old": entry("legacy"), "turns": entry("legacy", shared=True),
            "own": entry("legacy", shared=False), "new": entry("modern"),
            "far": {"url": f"{far.url}/mcp/turns", **QUICK},
            "farsse": {"url": f"{far.url}/sse/old", "type": "sse", **QUICK},
            "farnew": {"url": modern, **QUICK}, CHANGES: entry("modern")}
        with router(Path(name, "near"), servers, logs) as near:
            with Sse(near.url):     # it stays, else nobody would need a server at rest
                warm_up(near, far)
                work(near, servers, warm, seed, Counter())
                before = at_rest([near, far])
                tell("at the beginning", counts, before)
                before = [{**old, "MB": math.inf} for old in before]
                for number, when in ((1, "in the middle"), (2, "at the end")):
                    work(near, servers, minutes * 30 - warm, seed + number, counts)
                    after = at_rest([near, far], before)
                    tell(when, counts, after)
                    assert not grown(before, after), grown(before, after)
                    before = [{**old, "MB": new["MB"]} for old, new in zip(before, after)]
    assert not logs, "\n".join(logs)
    print(f"{counts['right']} passed, 0 failed")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2,
         int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
