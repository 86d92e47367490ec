"""A server whose tool `do` does what its arguments say: {"asks": [method, params]} asks the client
that first, {"stderr": line} and {"stdout": line} write a line; then it answers with {"result": …}
or {"error": …}, or with what the client answered. Without these it gives the last result again."""

import itertools
import json
import sys

ids = itertools.count(1)
waiting = {}    # id of a question → id of the call
last = {"content": []}


def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def call(id, arguments):
    global last
    if "stderr" in arguments:
        print(arguments["stderr"], file=sys.stderr, flush=True)
    if "stdout" in arguments:
        print(arguments["stdout"], flush=True)
    if "asks" in arguments:
        method, params = arguments["asks"]
        question = f"q{next(ids)}"
        waiting[question] = id
        say({"id": question, "method": method, "params": params})
    elif "error" in arguments:
        say({"id": id, "error": arguments["error"]})
    else:
        last = arguments.get("result", last)
        say({"id": id, "result": last})


def main():
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message.get("method"), message.get("id")
        if method == "initialize":
            say({"id": id, "result": {
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "any", "version": "1"}}})
        elif method == "tools/list":
            tool = {"name": "do", "inputSchema": {"type": "object"}}
            say({"id": id, "result": {"tools": [tool]}})
        elif method == "tools/call":
            call(id, message["params"]["arguments"])
        elif method and id is not None:
            say({"id": id, "error": {"code": -32601, "message": "not here"}})
        elif id in waiting:
            text = json.dumps(message.get("result", message.get("error")))
            say({"id": waiting.pop(id),
                 "result": {"content": [{"type": "text", "text": text}]}})


if __name__ == "__main__":
    main()
