"""The server behind every system of the benchmark: as fast as a plain Python server can be."""

import json
import sys

REVISION = "2025-06-18"
TOOL = {"name": "echo", "description": "echo", "inputSchema": {
    "type": "object", "properties": {"text": {"type": "string"}, "bytes": {"type": "integer"}}}}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    if message["method"] == "initialize":
        result = {"protocolVersion": REVISION, "capabilities": {"tools": {}},
                  "serverInfo": {"name": "fast", "version": "1"}}
    elif message["method"] == "tools/list":
        result = {"tools": [TOOL]}
    elif message["method"] == "tools/call":
        arguments = message["params"]["arguments"]
        result = {"content": [{"type": "text",
                               "text": arguments["text"] + "x" * arguments.get("bytes", 0)}]}
    else:
        result = {}
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}) + "\n")
    sys.stdout.flush()
