"""Broken servers, made by hypothesis: python broken.py MINUTES [SEED].

An example is some servers with a script each (see broken_server.py), which join the config of a
running router. Whatever they do, each call to them ends in time, with an answer or with an error
that names the server; a call to a good server beside them is answered; the log has no traceback;
and when they have left the config, nothing of them is left.
"""

import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from transports.fabric.messages import kind_of

from broken_server import OverHttp
from by_hand import HELLO, Sse, call, get
from processes import ROOT, Running, children, command, fake, wait_until

# So that an example takes a second or two, the router waits less than it does in earnest.
SHORTER = {"upstreams.server.lists": {"INITIALIZE_PATIENCE": 1.5, "LIST_SECONDS": 1.5},
           "upstreams.eras.era": {"PATIENCE": 0.5, "REMOTE_PATIENCE": 0.7},
           "upstreams.sharing.waiting": {"CALL_PATIENCE": 4.0, "LATE_SECONDS": 0.5},
           "upstreams.connections.process.process": {"GRACE": 0.3},
           "upstreams.connections.remote.problem": {"BODY_SECONDS": 0.5},
           "upstreams.connections.remote.message_post": {"LASTS": 0.3, "RETRY": 0.1},
           "upstreams.connections.remote.server_stream": {"ENDPOINT_SECONDS": 0.7}}
PROGRAM = f"""
import importlib, sys
for module, values in {SHORTER!r}.items():
    vars(importlib.import_module(module)).update(values)
import router
sys.exit(router.main())
"""
ENTRY = {"startTimeout": 1.5, "timeout": 1, "restart": {"attempts": 3, "pause": 0.05}}
# Seconds in which each call ends, on a busy machine; mostly it is one or two. A stream is never
# silent for longer than 15 seconds.
ENDS = 12.0
PROMPT = 10.0       # the same for one to the good server
MOST_MB = 250       # that the router ever takes

# -- texts


def joined(*parts):
    return st.tuples(*[part if isinstance(part, st.SearchStrategy) else st.just(part)
                       for part in parts]).map("".join)


def as_text(value):
    """A JSON value as a text of ASCII; "@id@" and the like in it stay as they are."""
    return re.sub(r'"(@(?:id|token|result)@)"', r"\1", json.dumps(value))


odd = st.one_of(
    st.sampled_from([None, True, 0, -1, 7, 1.5, 10**400, "", "x", "1", [], {}, [None],
                     float("nan"), "\ud800", "\0", "a\u2028b\n", "../..", "x" * 300, "@id@"]),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4),
                 lambda inner: st.lists(inner, max_size=2)
                 | st.dictionaries(st.text(max_size=4), inner, max_size=2), max_leaves=4))


def objects(**fields):
    """Objects with some of these fields, each with a value of its strategy or an odd one."""
    return st.fixed_dictionaries({}, optional={
        name: st.one_of(*[values] * 4, odd) if values is not odd else odd
        for name, values in fields.items()})


some = st.sampled_from
capability = objects(listChanged=st.booleans(), subscribe=st.booleans(), list=odd, requests=odd)
capabilities = objects(
    tools=capability, prompts=capability, resources=capability, tasks=capability, logging=odd,
    completions=odd, extensions=odd, experimental=odd)
item = objects(name=some(["t", "t", "x" * 200, "", "a b"]), inputSchema=odd, description=odd,
               uri=some(["x:/", "ui://a"]), uriTemplate=some(["x:/{a}", "{", "{+a}" * 50]),
               title=odd, _meta=odd)
items = st.lists(st.one_of(item, odd), max_size=3)
lists = objects(tools=items, prompts=items, resources=items, resourceTemplates=items, tasks=items,
                nextCursor=some(["", "more", "@id@"]), ttlMs=odd, cacheScope=odd,
                resultType=some(["complete", "input_required"]))
opening = objects(protocolVersion=some(["2025-11-25", "2024-11-05", "2024-10-07", "1999-01-01",
                                        "2026-07-28"]), capabilities=capabilities, serverInfo=odd,
                  supportedVersions=some([["2026-07-28"], ["2025-11-25"], ["2030-01-01"], []]),
                  instructions=odd, _meta=odd)
METHODS = ["sampling/createMessage", "roots/list", "elicitation/create", "ping", "tools/call", "",
           "tasks/get", "initialize", "server/discover", "subscriptions/listen", "no/such"]
NOTES = ["progress", "cancelled", "message", "initialized", "tools/list_changed",
         "resources/list_changed", "prompts/list_changed", "resources/updated", "tasks/status",
         "elicitation/complete", "subscriptions/acknowledged", "no/such", "roots/list_changed"]
params = objects(
    progressToken=some(["@token@", 1, "1"]), progress=odd, requestId=some(["@id@", 1]), reason=odd,
    level=some(["info", "error", "no"]), logger=odd, data=odd, uri=odd, taskId=odd,
    mode=some(["url", "form"]), url=odd, message=odd, requestedSchema=odd, messages=odd,
    notifications=odd, _meta=objects(
        progressToken=odd, **{"io.modelcontextprotocol/subscriptionId": odd}))
asked = st.dictionaries(some(["a", "b"]), objects(method=some(METHODS), params=params), max_size=2)
outcome = st.one_of(opening, lists, odd, objects(
    content=odd, isError=odd, structuredContent=odd, resultType=some(["input_required", "task"]),
    inputRequests=asked, requestState=odd, task=objects(taskId=odd, status=odd)))
fault = st.one_of(odd, objects(code=some([-32601, -32022, 1]), message=some(["broken: no"]),
                               data=st.one_of(odd, objects(supported=odd, elicitations=odd))))
ids = some(["@id@"] * 6 + [None, True, 0, 1, 2.0, 1e300, "1", [], {}, 10**30])
versions = some(["2.0"] * 8 + ["1.0", 2.0, None])
answers = st.builds(
    lambda id, version, members, more: {"jsonrpc": version, "id": id, **members, **more}, ids,
    versions, st.builds(dict, result=outcome) | objects(result=outcome, error=fault),
    some([{}] * 6 + [{"method": None}, {"method": "ping"}, {"params": 1}]))
notes = st.builds(lambda name, params, version: {
    "jsonrpc": version, "method": f"notifications/{name}", "params": params}, some(NOTES),
    params | odd, versions)
questions = st.builds(lambda id, method, params: {
    "jsonrpc": "2.0", "id": id, "method": method, "params": params},
    some(["q", "@id@", 1, 1.5, None]), some(METHODS) | odd, params | odd)
message = st.one_of(answers, answers, notes, questions)
messages = st.one_of(message, message, st.lists(message, max_size=3)).map(as_text)
DEEP, HUGE = 2000, 1_500_000
spoilt = some([
    "Starting up: 50%", "Server is running\n", '{"half": ', "[]", "null", "\0", "\xff\xfe",
    "\n\r\n", "\xef\xbb\xbf@answer@", '{"jsonrpc": "2.0", "id": @id@, "resu',
    '{"jsonrpc":"2.0","id":@id@}',
    '{\n "jsonrpc": "2.0",\n "id": @id@,\n "result": @result@\n}', "loading @answer@",
    "@answer@\r", "@answer@ @answer@", "@answer@,", "\xef\xbb\xbf",
    '{"jsonrpc": "2.0", "id": "@id@", "result": {}}',
    '{"jsonrpc": "2.0", "id": @id@, "result": NaN}', "{'jsonrpc': '2.0'}", "[@answer@]",
    '{"jsonrpc": "2.0", "id": @id@, "result": 1e999}',
    '{"jsonrpc": "2.0", "id": @id@.0, "result": {}}',
    '{"jsonrpc": "2.0", "id": @id@, "result": "\xff"}', "\x1b[31mred\x1b[0m", "@answer@\n@answer@",
    '{"jsonrpc": "2.0", "id": @id@, "result": "\\ud800"}', "Content-Length: 40\r\n\r\n@answer@",
    '{"jsonrpc": "2.0", "id": @id@, "id": 0, "result": {}}', "9" * 5000,
    '{"jsonrpc": "2.0", "id": @id@, "result": ' + "[" * DEEP + "]" * DEEP + "}",
    '{"jsonrpc": "2.0", "id": @id@, "result": "' + "x" * HUGE + '"}', "{" * 2000,
    '{"result": "' + "x" * HUGE + '", "jsonrpc": "2.0", "id": @id@}', "x" * HUGE])
texts = st.one_of(spoilt, messages, messages)
ends = some(["\n"] * 8 + ["", "\r\n", "\n\n", "\r", "\0\n"])

# -- acts of a child process

few = some([1] * 8 + [2, 30, 3000])
short = texts.filter(lambda text: len(text) < 10_000)
says = st.one_of(joined(texts, ends).map(lambda text: ["says", text]),
                 st.tuples(st.just("says"), joined(short, "\n"), few).map(list))
last = some([["exits", 0], ["exits", 3], ["dies", 9], ["dies", 19], ["hangs"], ["closes", 1],
             ["closes", 0], ["closes", 2], ["leaves_a_child"], ["answers"], ["answers"]])
beside = st.one_of(
    says, says, says, st.just(["waits", 0.05]),
    st.tuples(st.just("complains"), some(["a line\n", "no end", "Login: ", "\xff\n", "y" * 5000]),
              few).map(list))
acts = st.one_of(
    says.map(lambda act: [act]),
    st.tuples(st.lists(beside, max_size=3), st.lists(last, max_size=2)).map(
        lambda both: sum(both, [])))
ASKED = ["server/discover", "initialize", "tools/list", "tools/call"]


def script(acts, *more):
    """Mostly one or two steps are broken."""
    return st.dictionaries(some([*ASKED, "tools/call", "tools/list", *more]), acts, min_size=1,
                           max_size=2)


entries = st.fixed_dictionaries({}, optional={
    "shared": st.booleans(), "protocol": some(["legacy", "modern"]), "restart": st.just(False),
    "listsByCapabilities": st.just(True)})
eras = some(["legacy", "modern"])
over_stdio = st.tuples(st.just("stdio"), eras, script(
    acts, "start", "prompts/list", "resources/list", "subscriptions/listen"), entries)

# -- acts over HTTP

statuses = some([200] * 6 + [100, 101, 103, 201, 202, 204, 206, 301, 302, 303, 307, 308, 304, 400,
                             401, 403, 404, 405, 406, 409, 410, 415, 429, 500, 501, 502, 503, 504,
                             999])
headers = st.lists(some([
    "Content-Type: application/json", "Content-Type: text/event-stream", "Content-Type: text/html",
    "Content-Type: application/json; charset=utf-16", "Content-Type", "Content-Encoding: gzip",
    "Retry-After: 1", "Retry-After: 0", "Retry-After: -5", "Retry-After: soon",
    "Retry-After: Mon, 01 Jan 99999999999 00:00:00 GMT", "Location: /", "Location: ",
    "Location: http://example.invalid/", "Location: ?again", "Location: ://[",
    "WWW-Authenticate: Bearer",
    "Mcp-Session-Id: x", "Mcp-Session-Id: ", "Mcp-Session-Id: \xff\x01", "Connection: close",
    "Keep-Alive: timeout=99999999999", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip",
    "Content-Length: 0", "Content-Length: 5", "Content-Length: 99999999999", "Content-Length: -1",
    "Content-Length: " + "9" * 5000, "X: " + "y" * 70_000, " folded", "Set-Cookie: a=b"]),
    max_size=2)
KINDS = "Content-Type: application/json", "Content-Type: text/event-stream"
fields = st.one_of(
    joined("data: ", messages), joined("data: ", messages), st.just("data: @answer@"), spoilt,
    some(["id: 1", "id: 1", "id", "id: \0", "retry: 0", "retry: 10", "retry: 99999999999999",
          "retry: x", "event: message", "event: ping", "event: endpoint", "event: error", "data",
          "data:", ": comment", "\xef\xbb\xbf", "data: http://127.0.0.2/x", "data: ?post", "",
          "data: {", "data: }"]))
events = st.lists(joined(fields, some(["\n\n"] * 4 + ["\n", "\r\n\r\n", "\r\r", ""])),
                  max_size=4).map("".join)
bodies = st.one_of(events, events, texts, texts, some([
    "", "<html>no</html>", "\x1f\x8b\x08", "5\r\nhello", "zz\r\n", "0\r\n\r\n", "3\r\nab",
    "fffffffffffffff\r\n"]))


def response(status, kind, headers, length, body):
    lines = [f"HTTP/1.1 {status} Words", *([kind] if kind else []), *headers]
    if length:  # as it should be, if there is no more to fill in
        lines.append(f"Content-Length: {len(body) + length - 1}")
    return "\r\n".join([*lines, "", body])


responses = st.builds(response, statuses, some([*KINDS, *KINDS, None]), headers,
                      some([0, 0, 0, 1, 3]), bodies)
http_says = st.one_of(*[responses] * 8, bodies).map(lambda text: ["says", text])
http_last = some([["hangs"], ["resets"], ["answers"], ["answers"], ["drips", "x", 1.0],
                  ["drips", ": ping\n\n", 3.0], ["drips", "data: {}\n\n", 3.0], ["refuses", 404],
                  ["refuses", 401], ["refuses", 503], ["accepts"], ["holds"], ["opens"]])
tells = joined("data: ", texts, "\n\n").map(lambda text: ["tells", text])
http_acts = st.tuples(st.lists(http_says, max_size=2), st.lists(
    http_last | tells, max_size=2)).map(lambda both: sum(both, []))
over_http = st.tuples(some(["http", "http", "sse"]), eras, script(
    http_acts, "GET", "GET", "note", "DELETE", "subscriptions/listen"), entries)

# -- scripts of which it is known what a call must be told

ANSWER = '{"jsonrpc": "2.0", "id": @id@, "result": '
TOLD = [
    ("stdio", {"tools/call": [["exits", 3]]}, "exited with status 3"),
    ("stdio", {"tools/call": [["complains", "no disk\n"], ["exits", 3]]}, "status 3: no disk"),
    ("stdio", {"tools/call": [["dies", 9]]}, "SIGKILL"),
    ("stdio", {"tools/call": [["dies", 19]]}, "did not answer within 1 seconds"),
    ("stdio", {"tools/call": [["closes", 1], ["hangs"]]}, "closed its output"),
    ("stdio", {"tools/call": [["says", ANSWER + "NaN}\n"]]}, "cannot be passed on: not JSON"),
    ("stdio", {"tools/call": [["says", ANSWER + "[" * 300 + "]" * 300 + "}\n"]]},
     "cannot be passed on: nested"),
    ("stdio", {"tools/call": [["says", ANSWER + '"' + "x" * HUGE + '"}\n']]}, "longer than"),
    ("stdio", {"start": [["says", "Who are you?\n"], ["hangs"]]}, "Who are you"),
    ("stdio", {"start": [["complains", "Login: "], ["hangs"]]}, "Login:"),
    ("stdio", {"start": [["complains", "no key\n"], ["exits", 4]]}, "status 4: no key"),
    ("http", {"tools/call": [["refuses", 503]]}, "answered HTTP 503"),
    ("http", {"tools/call": [["says", "HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nwhy??"]]},
     "answered HTTP 500 No: why"),
    ("http", {"tools/call": [["says", "HTTP/1.1 200 Y\r\nContent-Type: text/html\r\n"
                                      "Content-Length: 9\r\n\r\n<p>Log in"]]},
     "sent text/html in place of an answer.* Log in"),
    ("http", {"tools/call": [["accepts"]]}, "sent nothing in place of an answer.* 202"),
    ("http", {"tools/call": [["resets"]]}, "the connection"),
    ("http", {"tools/call": [["hangs"]]}, "did not answer within 1 seconds"),
    ("http", {"tools/call": [["says", "HTTP/1.1 200 Y\r\nContent-Type: text/event-stream\r\n\r\n"
                                      "data: x\n\n"]]}, "cannot be passed on.*: x"),
    ("http", {"server/discover": [["refuses", 401]], "initialize": [["refuses", 401]]},
     "needs login"),
    ("sse", {"GET": [["refuses", 500]]}, "answered HTTP 500"),
    ("sse", {"tools/call": [["refuses", 400]]}, "as its endpoint, which answered HTTP 400"),
    ("sse", {"GET": [["says", "HTTP/1.1 200 Y\r\nContent-Type: text/event-stream\r\n\r\n"
                              "event: endpoint\ndata: http://127.0.0.2/\n\n"], ["hangs"]]},
     "sent us to http://127.0.0.2, which is another origin"),
]
told = st.builds(lambda row, era: (row[0], era, {**row[1], "told": row[2]}, {}), some(TOLD), eras)
both = st.one_of(over_stdio, over_http, over_stdio, over_http, told)


# -- the router that they join


class World:
    """A router that runs, and stays while example follows example."""

    def __init__(self, folder):
        self.folder, self.count, self.recent = Path(folder), 0, []
        self.http = OverHttp()
        try:
            self.begin()
        except BaseException:
            self.http.stop()
            raise

    def begin(self):
        self.running = Running(
            self.folder, {"good": fake()}, "--max-message", "1", "--no-reload", ready=False,
            env={"PYTHONPATH": str(ROOT)}, program=("-c", PROGRAM))
        self.other = Sse(self.running.url, timeout=ENDS)
        self.rests = None       # what it takes with the good server alone
        self._asked = self._checked = 0
        self.good_call()
        self.rests = self.measure()

    def end(self):
        """End the router; returns its status."""
        self.other.close()
        return self.running.stop()

    def stop(self):
        try:
            return self.end()
        finally:
            self.http.stop()

    def renew(self):
        """After a find: what it has left is no fault of the next example."""
        self.end()
        self.recent = []
        self.begin()

    def good_call(self):
        self._asked += 1
        began = time.monotonic()
        self.other.post(call(self._asked + 1, "good__echo", text=f"{self._asked}"))
        while (answer := self.other.get()).get("id") != self._asked + 1:
            kind_of(answer)
        assert answer["result"]["content"][0]["text"] == f"{self._asked}", answer
        assert time.monotonic() - began < PROMPT, "the good server was held up"

    def has(self, servers):
        """The router's config is to have these beside the good one."""
        config = self.running.config
        text = json.dumps({"mcpServers": {"good": fake(), **servers}})
        config.with_suffix(".new").write_text(text)
        os.replace(config.with_suffix(".new"), config)
        self.running.process.send_signal(signal.SIGHUP)
        wanted = {"good", *servers}
        assert wait_until(lambda: json.loads(get(f"{self.running.url}/health")[1])[
            "servers"].keys() == wanted), self.tail()

    def entry(self, name, server):
        kind, era, script, more = server
        if kind == "stdio":
            file = self.folder / f"{name}.json"
            file.write_text(json.dumps(script))
            return {"command": sys.executable, "args": [
                "-I", "-S", str(ROOT / "tests" / "broken_server.py"), era, str(file)],
                **ENTRY, **more}
        # HTTP+SSE is of the legacy era.
        self.http.scripts[name] = script, "legacy" if kind == "sse" else era, kind
        return {"url": self.http.url + name, "type": kind, **ENTRY, **more}

    def plays(self, servers):
        """One example. Raises AssertionError for a find."""
        self.count += 1
        named = {f"b{self.count}x{number}": server for number, server in enumerate(servers)}
        self.recent = [*self.recent, *servers][-160:]
        try:
            self.has({name: self.entry(name, server) for name, server in named.items()})
            with Sse(self.running.url, hello=False, timeout=ENDS) as client:
                self.talk(client, named)
                self.good_call()
            if self.count % 3 == 0:
                name = next(iter(named))
                with Sse(self.running.url, f"/sse/{name}", hello=False, timeout=ENDS) as client:
                    self.talk_alone(client, name)
        finally:
            for name in named:
                self.http.scripts.pop(name, None)
        self.has({})
        self.look_at_the_log()

    def talk(self, client, named):
        asked = ["roots", "sampling", "elicitation"] if self.count % 2 else []
        client.post({**HELLO, "params": {**HELLO["params"],
                                         "capabilities": {each: {} for each in asked}}})
        self.answers(client, {1: None})
        client.post({"method": "notifications/initialized"})
        for turn in range(2):
            waits = {}
            for method in ("tools/list", "prompts/list", "resources/list")[:3 - 2 * turn]:
                waits[f"{turn} {method}"] = None
                client.post({"id": f"{turn} {method}", "method": method})
            for name in named:
                waits[f"{turn} {name}"] = name
                message = call(f"{turn} {name}", f"{name}__t")
                message["params"]["_meta"] = {"progressToken": f"{turn} {name}"}
                client.post(message)
            self.good_call()
            self.answers(client, waits, {name: script["told"] for name, (_, _, script, _)
                                         in named.items() if "told" in script})

    def talk_alone(self, client, name):
        """The server as it is, to which everything is passed on."""
        client.post(HELLO)
        if "error" in self.answers(client, {1: name}):
            return
        client.post({"method": "notifications/initialized"})
        asked = {method: name for method in (
            "ping", "tools/list", "tools/call", "prompts/get", "resources/read", "tasks/list",
            "completion/complete", "logging/setLevel", "resources/subscribe", "no/such")}
        for method in asked:
            client.post({"id": method, "method": method, "params": {
                "name": "t", "uri": "x:/a", "level": "info", "ref": {"type": "ref/prompt",
                                                                     "name": "t"}}})
        self.good_call()
        self.answers(client, asked)

    def answers(self, client, waits, told={}):
        """Take in what comes, until all that waits has its answer. Returns the last one."""
        deadline = time.monotonic() + ENDS
        while waits:
            try:
                message = json.loads(client.event()[1], parse_constant=no_json)
            except (TimeoutError, ValueError) as problem:
                raise AssertionError(f"{problem!r}; no answer: {waits}\n{self.tail()}") from None
            assert time.monotonic() < deadline, f"no answer: {waits}\n{self.tail()}"
            kind_of(message)
            if "method" not in message:
                assert message["id"] in waits, f"nobody asked for {message}"
                name = waits.pop(message["id"])
                assert ("result" in message) != ("error" in message), message
                assert isinstance(message.get("result", {}), dict), message
                if name and "error" in message:
                    self.check(name, message["error"], told.get(name, ""))
                assert not (name in told and "result" in message), message
        return message

    def check(self, name, error, told):
        """An error names the server, unless it is the server's own, or that of the search for the
        tool, which the server did not list. `told`: what it says beside that."""
        assert re.search(told, error["message"]), f"not told {told!r}: {error}"
        assert isinstance(error, dict) and isinstance(error.get("code"), (int, float)), error
        text = str(error.get("message"))
        if error.get("code") == -32000 and "broken:" not in text:
            assert f'"{name}"' in text, error
        assert "a bug in the router" not in text, text

    def look_at_the_log(self):
        lines = self.running.lines
        bad = [number for number in range(self._checked, len(lines)) if re.search(
            "Traceback|a bug in|survived an error|was lost|Fatal", lines[number])]
        self._checked = len(lines)
        assert not bad, "\n".join(lines[bad[0]:bad[0] + 60])
        assert self.running.process.poll() is None, "the router has ended\n" + self.tail()

    def tail(self):
        return "\n".join(self.running.lines[-60:])[-8000:]

    def measure(self):
        pid = self.running.process.pid
        files = len(os.listdir(f"/proc/{pid}/fd"))
        status = dict(line.split(":", 1) for line in
                      Path(f"/proc/{pid}/status").read_text().splitlines())
        return {"children": len(children(pid)), "threads": int(status["Threads"]), "files": files,
                "MB": int(status["VmRSS"].split()[0]) // 1024,
                "most MB": int(status["VmHWM"].split()[0]) // 1024}

    def settle(self):
        """Nothing is left of all that was played. Returns what the router takes."""
        samples = []

        def rests():
            samples.append(now := self.measure())
            # Workers of streams stay for those to come: see SPARE.
            return (now["children"] <= self.rests["children"]
                    and now["threads"] <= self.rests["threads"] + 16
                    and now["files"] <= self.rests["files"] + 4)
        if not wait_until(rests, 20):
            left = [command(pid) for pid in children(self.running.process.pid)]
            self.running.process.send_signal(signal.SIGABRT)    # it says where each thread is
            self.running.process.wait()
            raise AssertionError(f"left: {samples[-1]}, before: {self.rests}\n"
                                 + "\n".join([*left, *self.running.lines[-400:]]))
        assert samples[-1]["most MB"] < MOST_MB, samples[-1]
        return samples[-1]


def no_json(text):
    raise ValueError(f"{text} is no JSON")


class Find(AssertionError):
    """What went wrong, and the smallest example in which it did."""


def try_them(world, examples, seed=None, kind=both):
    """So many examples; those of a seed, or the same ones each time. Returns how many servers
    were in each. Raises a Find."""
    ran, finds = [], []

    def one(servers):
        if not finds:   # hypothesis would shrink for minutes, and cannot know what was left behind
            ran.append(len(servers))
            if problem := problem_of(world, servers):
                finds.append((problem, servers))
    test = hypothesis.given(st.lists(kind, min_size=1, max_size=8))(one)
    test = hypothesis.seed(seed)(test) if seed is not None else test
    hypothesis.settings(
        max_examples=examples, deadline=None, database=None, derandomize=seed is None,
        phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck))(
            test)()
    if finds:
        problem, servers = smaller(world, *finds[0])
        raise Find(f"{problem}\n\nplayed: {servers!a}\nseed: {seed}\nbefore that: {finds[0][0]}")
    return ran


def problem_of(world, servers):
    """What goes wrong in this example, in words; None if nothing does."""
    try:
        world.plays(servers)
    except (AssertionError, OSError, ValueError) as problem:
        world.renew()
        return f"{type(problem).__name__}: {problem}"


def smaller(world, problem, servers, seconds=90):
    """The example with fewer servers, steps, acts and words about them, if it still fails then."""
    end = time.monotonic() + seconds
    tried = iter(simpler(servers))
    while (fewer := next(tried, None)) is not None and time.monotonic() < end:
        if found := problem_of(world, fewer):
            problem, servers, tried = found, fewer, iter(simpler(fewer))
    return problem, servers


def simpler(servers):
    if len(servers) > 1:
        yield from ([one] for one in servers)
    for number, (kind, era, script, more) in enumerate(servers):
        others = [{key: value for key, value in script.items() if key != step}
                  for step in script] if len(script) > 1 else []
        others += [{**script, step: acts[:at] + acts[at + 1:]} for step, acts in script.items()
                   for at in range(len(acts)) if len(acts) > 1]
        for one in [*((kind, era, other, more) for other in others),
                    *([(kind, era, script, {})] if more else [])]:
            yield [*servers[:number], one, *servers[number + 1:]]


def main(minutes, seed):
    print(f"broken servers: {minutes:g} minutes, seed {seed}", flush=True)
    end, told, after, counts = time.monotonic() + minutes * 60, 0, [], [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        try:
            while time.monotonic() < end:
                ran = try_them(world, 20, seed)
                seed += 1
                counts = [counts[0] + len(ran), counts[1] + sum(ran)]
                try:
                    after.append(world.settle())
                except AssertionError:
                    print("what was played before:", *map(ascii, world.recent), sep="\n")
                    raise
                if time.monotonic() > told + 30:
                    told = time.monotonic()
                    print(f"{counts[0]} examples, {counts[1]} servers, next seed {seed}:",
                          after[-1], flush=True)
        except BaseException:
            print(f"the seed was {seed}")
            raise
        finally:
            status = world.stop()
    assert status == 0, f"the router ended with status {status}"
    # What the system's malloc keeps grows at first: threads come and go, each with an arena.
    early = max(each["MB"] for each in after[:len(after) // 2 or 1])
    assert after[-1]["MB"] <= early * 1.2 + 10, f"memory has grown: {early}, {after[-1]}"
    print(f"{counts[0]} examples, {counts[1]} servers, 0 finds; at the end {after[-1]}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2,
         int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
