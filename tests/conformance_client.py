"""A client for the official suite's client scenarios: python conformance_client.py URL.

It starts the router over stdio, as a host does, in front of the scenario's server at this URL,
and uses everything that it finds there. The suite judges what the router says to that server.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROUTER = Path(__file__).parent.parent / "router.py"
VALUES = {"number": 2, "integer": 2, "boolean": True, "string": "x"}


class Host:
    """A legacy client that can be asked: it accepts each form, with its default values."""

    def __init__(self, config):
        self.router = subprocess.Popen([sys.executable, str(ROUTER), "--config", config],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ids = 0

    def say(self, **message):
        print(json.dumps({"jsonrpc": "2.0", **message}), file=self.router.stdin, flush=True)

    def ask(self, method, **params):
        """The answer's result, or {} if it is an error."""
        self._ids += 1
        asked = self._ids
        self.say(id=asked, method=method, params=params)
        while line := self.router.stdout.readline():
            message = json.loads(line)
            if message.get("id") == asked and "method" not in message:
                print(method, line, file=sys.stderr, end="")
                return message.get("result", {})
            if message.get("method") == "elicitation/create":
                self.answer(message)
        raise SystemExit("the router has ended")

    def answer(self, question):
        fields = question["params"]["requestedSchema"]["properties"]
        if "confirmed" in fields:   # another call in the middle must not get this answer
            self.ask("tools/call", name="test_mrtr_unrelated", arguments={})
        self.say(id=question["id"], result={"action": "accept", "content": {
            name: field.get("default", VALUES[field["type"]]) for name, field in fields.items()}})

    def use_everything(self, calls):
        self.ask("initialize", protocolVersion="2025-11-25", capabilities={"elicitation": {}},
                 clientInfo={"name": "conformance-client", "version": "1"})
        self.say(method="notifications/initialized")
        tools = self.ask("tools/list").get("tools", [])
        for call in calls or [{"name": tool["name"], "arguments": arguments_for(tool)}
                              for tool in tools]:
            self.ask("tools/call", **call)
        for resource in self.ask("resources/list").get("resources", []):
            self.ask("resources/read", uri=resource["uri"])
        for prompt in self.ask("prompts/list").get("prompts", []):
            self.ask("prompts/get", name=prompt["name"])
        self.router.stdin.close()


def arguments_for(tool):
    """Values for what the tool requires."""
    schema = tool["inputSchema"]
    return {name: VALUES.get(schema["properties"][name].get("type"), "x")
            for name in schema.get("required", ())}


def main(url):
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps({"mcpServers": {"scenario": {"url": url, "prefix": ""}}}))
        host = Host(str(config))
        host.use_everything(context.get("toolCalls"))
        return host.router.wait(20)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
