"""A whole router in this process, with real servers, that may rest."""

import collections
import itertools
import json
import sys
import threading
import time
from pathlib import Path

import pytest

from transports.fabric.outbox import CLOSE
from transports.program.clock import Clock
from upstreams.config.entries import Entry
from upstreams.connections.process.guardian import Guardian
from upstreams.connections.process.process import Process
from upstreams.eras import open_life
from upstreams.rest import Memory, Rest
from upstreams.routing.router import Router
from upstreams.sharing.pool import Pool

QUICK = str(Path(__file__).with_name("quick_server.py"))


class Client:
    """A client past its initialize. Every answer must come once; what else comes is in `news`."""

    def __init__(self, router, capabilities=None, name=None):
        self.session = router.router.open("test", name)
        self._router, self._ids = router.router, itertools.count(1)
        self._news = threading.Condition()
        self.answers, self.news = collections.defaultdict(list), []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        self.hello = self.ask("initialize", protocolVersion="2025-11-25",
                              capabilities=capabilities or {},
                              clientInfo={"name": "test", "version": "1"})["result"]
        self.say(method="notifications/initialized")

    def _read(self):
        while True:
            found = self.session.outbox.get(60)
            if found is CLOSE:
                return
            with self._news:
                for message in map(json.loads, found or ()):
                    is_answer = "id" in message and "method" not in message
                    (self.answers[message["id"]] if is_answer else self.news).append(message)
                self._news.notify_all()

    def say(self, **message):
        self._router.handle(self.session, {"jsonrpc": "2.0", **message}, self.session.outbox)

    def begin(self, method, **params):
        """Send a request; returns its id."""
        id = next(self._ids)
        self.say(id=id, method=method, params=params)
        return id

    def end(self, id, seconds=20):
        """The answer to it."""
        with self._news:
            assert self._news.wait_for(lambda: self.answers[id], seconds), "no answer"
            return self.answers[id][0]

    def ask(self, method, **params):
        return self.end(self.begin(method, **params))

    def call(self, name, **arguments):
        return self.ask("tools/call", name=name, arguments=arguments)

    def tools(self):
        return [tool["name"] for tool in self.ask("tools/list")["result"]["tools"]]

    def hears(self, method, seconds=20):
        """The first message of this method that has come or comes; it is taken."""
        def found():
            return [message for message in self.news if message["method"] == method]
        with self._news:
            assert self._news.wait_for(found, seconds), f"no {method}"
            message = found()[0]
            self.news.remove(message)
            return message

    def answer(self, question, **result):
        self.say(id=question["id"], result=result)

    def leave(self):
        self._router.leave(self.session)
        self._thread.join()
        assert all(len(answers) == 1 for answers in self.answers.values())


class Quick:
    """One quick server: its Entry, and what it did."""

    def __init__(self, folder, name, era="modern", *arguments, **config):
        self.name, self.file = name, folder / f"{name}.did"
        self.file.touch()
        self.entry = Entry(name, sys.executable,
                           ("-S", "-E", QUICK, era, str(self.file), *arguments),
                           prefix=f"{name}__", restart_pause=0.05, **config)

    def did(self, what):
        """What it noted of this, by now: the words after it."""
        return [line.split()[1:] for line in self.file.read_text().splitlines()
                if line.split()[0] == what]

    def runs(self):
        """How many of its processes have not ended."""
        return len(self.did("start")) - len(self.did("end"))

    def lists_also(self, *tools):
        self.file.with_name(self.file.name + ".tools").write_text("\n".join(tools))

    def breaks(self):
        """Returns the file to be deleted to mend it."""
        broken = self.file.with_name(self.file.name + ".broken")
        broken.touch()
        return broken

    def rests(self, seconds=20):
        """Wait until none runs."""
        deadline, tick = time.monotonic() + seconds, threading.Event()
        while self.runs() and time.monotonic() < deadline:
            tick.wait(0.01)
        return not self.runs()


class Real:
    """A router, its pool, its clients."""

    def __init__(self, servers, state, share=True, rest=True):
        self.clock, self._guardian, self.clients = Clock(), Guardian(), []
        self.clock.start()
        self.pool = Pool({server.name: server.entry for server in servers}, self._connect,
                         self.clock, {"name": "router", "version": "0"}, 100, share, open_life)
        self.router = Router(self.pool, self.clock)
        self.rest = Rest(self.pool, Memory(state)) if rest else None
        if rest:
            self.rest.__enter__()
        if share:
            self.pool.start()

    def _connect(self, entry, label):
        return Process(entry, label, self.clock, self._guardian)

    def client(self, capabilities=None, name=None):
        self.clients.append(Client(self, capabilities, name))
        return self.clients[-1]

    def upstream(self, name):
        """Of its processes, the first."""
        return self.pool.upstreams()[name][0]

    def look(self):
        """One look more, in this thread."""
        self.rest.look()

    def stop(self):
        for client in self.clients:
            client.leave()
        self.clients = []
        if self.rest:
            self.rest.__exit__()
        self.pool.close()
        self._guardian.close()
        self.clock.close()


@pytest.fixture
def quick(tmp_path):
    """quick(name, …): a Quick server."""
    def make(name, *arguments, **config):
        return Quick(tmp_path, name, *arguments, **config)
    return make


@pytest.fixture
def start(tmp_path):
    """start(server, …, share=True): a Real router, with a memory that the next one has too."""
    started = []

    def begin(*servers, **more):
        started.append(Real(servers, tmp_path / "state" / "memory", **more))
        return started[-1]
    yield begin
    for real in started:
        real.stop()
