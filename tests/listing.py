"""A server that lists odd things, for --check (see the fixture `check`)."""

import json
import sys

# A server that lists what its argument, a JSON object, has for tools/list. It ends where that
# says "crash" for a method, and with the argument "once" when it is asked for its tools again.
LISTS = """
import json, sys
methods = []
for line in sys.stdin:
    message = json.loads(line)
    answers = json.loads(sys.argv[1]).get(message["method"], [])
    methods.append(message["method"])
    if answers == "crash" or "once" in sys.argv and methods.count("tools/list") > 1:
        sys.exit(f"crashed with {sys.argv[2:]}")
    if message["method"] == "initialize":
        answer = {"result": {"protocolVersion": "2025-11-25",
                             "capabilities": {"tools": {}, "resources": {}},
                             "serverInfo": {"name": "listing", "version": "7"}}}
    elif message["method"] == "tools/list":
        answer = {"result": {"tools": answers}}
    else:
        answer = {"error": {"code": -32601, "message": "not here"}}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""
GOOD = {"type": "object"}


def listing(*tools, arguments=(), **more):
    """A config entry for a server with these tools; a str stands for a tool with a good schema."""
    tools = [tool if isinstance(tool, dict) else {"name": tool, "inputSchema": GOOD}
             for tool in tools]
    return {"command": sys.executable,
            "args": ["-c", LISTS, json.dumps({"tools/list": tools}), *arguments], **more}


SECRETS = ("hunter22", "ghp_0123456789abcdefghij", "pass-in-url")


def with_secrets(**more):
    return listing("a.hunter22", arguments=[
        f"--token={SECRETS[1]}", f"https://me:{SECRETS[2]}@example.com"],
        env={"API_KEY": SECRETS[0], "SAFE_TOKEN": "${SAFE}", "DEBUG": "hunter22"}, **more)
