"""A server that does what the tests tell it to, good or bad: python fake_server.py [MODE].

    (none)     tools: echo(text), sleep(seconds), crash(), say(line), big(bytes), ask(method),
               close_stdout(), stop_reading(), flood(lines), fork(), wait()
    rubbish    the same, but says things that are no messages first
    silent     reads and never answers
    deaf       never reads
    dies       says something on stderr and exits with status 3
    hostile    the first mode, with names that are markup and tools that have a form, one of
               which has schemas in schemas and may destroy something
    stubborn   the first mode, but ignores SIGTERM and the end of its input
    family     the first mode, with a child that holds its pipes and ignores SIGTERM
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

STAY = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
TOOLS = ("echo", "sleep", "crash", "say", "big", "ask", "close_stdout", "stop_reading", "flood",
         "fork", "wait")
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.\u0007"
FORM = {"word": {"type": "string"}, "count": {"type": "integer"}, "yes": {"type": "boolean"},
        "color": {"enum": ["red", "green"], "default": "green"}, "rest": {"type": "object"}}
NESTED = {
    "type": "object", "required": ["place"], "$defs": {"Place": {
        "type": "object", "properties": {"city": {"type": "string"}, "at": {
            "type": "array", "items": {"type": "number"}}, "within": {"$ref": "#/$defs/Place"}}}},
    "properties": {"place": {"$ref": "#/$defs/Place"}, "days": {
        "type": "array", "items": {"enum": ["mon", "tue", "wed"]}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "filters": {"type": "object", "properties": {"deep": {"type": "boolean"}}}}}
lock = threading.Lock()
reading = True


def say(message):
    with lock:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def call(name, arguments, id):
    global reading
    if name == "crash":
        print("crashing as told", file=sys.stderr, flush=True)
        os._exit(7)
    if name == "sleep":
        time.sleep(arguments["seconds"])
    if name == "say":
        with lock:
            print(arguments["line"], flush=True)
    if name == "close_stdout":
        os.close(1)
        time.sleep(600)
    if name == "wait":
        time.sleep(600)
    if name == "stop_reading":
        reading = False
    if name == "flood":
        for n in range(arguments["lines"]):
            say({"method": "notifications/message", "params": {"level": "info", "data": n}})
    if name == "fork":
        subprocess.Popen([sys.executable, "-c", STAY])
    if name == "ask":
        say({"id": "q1", "method": arguments["method"], "params": {}})
    text = str(arguments.get("text"))
    if name == "big":
        text = "x" * arguments["bytes"]
    if name in ("form", "nested"):
        text = json.dumps(arguments)
    if name == HOSTILE:
        text = HOSTILE
    say({"id": id, "result": {"content": [{"type": "text", "text": text}], "pid": os.getpid()}})


def tools(mode):
    if mode == "hostile":
        yield {"name": HOSTILE, "description": HOSTILE, "inputSchema": {
            "type": "object", "properties": {HOSTILE: {"type": "string", "enum": [HOSTILE]}},
            "required": [HOSTILE]}}
        yield {"name": "form", "inputSchema": {"type": "object", "properties": FORM}}
        yield {"name": "nested", "inputSchema": NESTED, "annotations": {
            "destructiveHint": True, "readOnlyHint": False, "idempotentHint": True}}
    for name in TOOLS:
        yield {"name": name, "inputSchema": {"type": "object"}}


def main(mode):
    if mode == "dies":
        sys.exit("this server was told to die")
    if mode in ("stubborn", "family"):
        if mode == "family":
            subprocess.Popen([sys.executable, "-c", STAY])
        else:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "deaf":
        time.sleep(600)
    if mode == "rubbish":
        sys.stdout.buffer.write(b'Hello!\n\n[]\n{"jsonrpc": "2.0"}\n\xff\xfe\n{"half": \n'
                                b'{"jsonrpc": "2.0", "id": 999, "result": {}}\n')
        sys.stdout.flush()
    for line in sys.stdin:
        if not reading:
            time.sleep(600)
        message = json.loads(line)
        if mode == "silent" or "id" not in message or "method" not in message:
            continue
        method, params = message["method"], message.get("params", {})
        if method == "initialize":
            say({"id": message["id"], "result": {
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {
                    "name": HOSTILE if mode == "hostile" else "fake", "version": "1"}}})
        elif method == "tools/list":
            say({"id": message["id"], "result": {"tools": list(tools(mode))}})
        elif method == "tools/call":
            threading.Thread(target=call, daemon=True, args=(
                params["name"], params.get("arguments", {}), message["id"])).start()
        else:
            say({"id": message["id"], "error": {"code": -32601, "message": "not here"}})
    if mode == "stubborn":
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
