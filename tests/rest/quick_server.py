"""A server that starts fast: python -S -E quick_server.py LEGACY-OR-MODERN FILE [by].

It appends a line to FILE for all that it does: "start PID", "call PID SERIAL", "end PID". Tools:
echo(serial), sleep(serial, seconds), crash(), ask(serial): a question; and those that are named in
FILE.tools, one a line. When FILE.broken is there, it dies at once. With "by" as its third argument
it has a tool more for clients that can be asked something.
"""

import json
import os
import sys
import time

MODERN = "2026-07-28"
era, path, by = [*sys.argv[1:], "", "", ""][:3]
client = {}


def note(*words):
    with open(path, "a") as file:
        print(*words, file=file, flush=True)


def say(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def lists():
    tools = ["echo", "sleep", "crash", "ask"]
    if os.path.exists(path + ".tools"):
        with open(path + ".tools") as file:
            tools += file.read().split()
    if by and client.get("capabilities"):
        tools.append("of_client")
    return {"tools/list": {"tools": [{"name": name, "inputSchema": {"type": "object"}}
                                     for name in tools]},
            "resources/list": {"resources": [{"uri": "quick:/", "name": "quick"}]},
            "resources/templates/list": {"resourceTemplates": []}}


def result_of(message):
    method, params = message["method"], message.get("params", {})
    arguments = params.get("arguments", {})
    capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
    if method == "server/discover" and era == "modern":
        return {"supportedVersions": [MODERN], "capabilities": capabilities,
                "instructions": "be quick", "_meta": {
                    "io.modelcontextprotocol/serverInfo": {"name": "quick", "version": "1"}}}
    if method == "initialize" and era != "modern":
        client.update(params)
        return {"protocolVersion": "2025-11-25", "capabilities": capabilities,
                "instructions": "be quick", "serverInfo": {"name": "quick", "version": "1"}}
    if method in lists() and (client or era == "modern"):
        return lists()[method]
    if method == "tasks/get":
        return {"taskId": params["taskId"], "status": "completed", "ttl": None}
    if method == "tasks/result":
        return {"content": []}
    if method in ("resources/subscribe", "resources/unsubscribe"):
        return {}
    if method != "tools/call":
        return None
    note("call", os.getpid(), arguments.get("serial"))
    if params["name"] == "crash":
        note("end", os.getpid())
        os._exit(7)
    if params["name"] == "sleep":
        time.sleep(arguments["seconds"])
    if params["name"] == "ask" and "inputResponses" not in params:
        return {"resultType": "input_required", "requestState": "s", "inputRequests": {
            "q": {"method": "elicitation/create", "params": {"message": "?", "mode": "form",
                                                             "requestedSchema": {}}}}}
    if "task" in params:
        return {"task": {"taskId": "t", "status": "working", "ttl": params["task"].get("ttl")}}
    return {"content": [], "serial": arguments.get("serial"), "pid": os.getpid()}


def main():
    note("start", os.getpid())
    if os.path.exists(path + ".broken"):
        note("end", os.getpid())
        sys.exit("it is broken")
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "subscriptions/listen":
            say(method="notifications/subscriptions/acknowledged", params={
                "_meta": {"io.modelcontextprotocol/subscriptionId": message["id"]},
                "notifications": message["params"]["notifications"]})
        elif "id" in message and "method" in message:
            answer = result_of(message)
            say(id=message["id"], **({"error": {"code": -32601, "message": "not here"}}
                                     if answer is None else {"result": answer}))
    note("end", os.getpid())


if __name__ == "__main__":
    main()
