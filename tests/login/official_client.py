"""A client for the official suite's scenarios of authorization: python official_client.py URL.

It logs in as a person does, with `router.py --login` and a browser that follows redirects. Then
it is the host of a router over stdio: it uses every tool, and opens each URL that it is asked to
open.
The suite judges what the router says to the scenario's servers.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

ROUTER = Path(__file__).parents[2] / "router.py"
CLIENT = "https://conformance-test.local/client-metadata.json"     # of the suite


def browse(url):
    """What a browser does whose user says yes to everything."""
    try:
        urllib.request.urlopen(url, timeout=60).close()
    except urllib.error.HTTPError as problem:
        print(f"the browser: HTTP {problem.code}", file=sys.stderr)


def use_tools(command, environment):
    router = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)

    def say(**message):
        print(json.dumps({"jsonrpc": "2.0", **message}), file=router.stdin, flush=True)

    def ask(id, method, **params):
        say(id=id, method=method, params=params)
        while line := router.stdout.readline():
            message = json.loads(line)
            if message.get("method") == "elicitation/create":
                say(id=message["id"], result={"action": "accept"})
                browse(message["params"]["url"])
            elif message.get("id") == id:
                print(method, line, file=sys.stderr, end="")
                return message.get("result", {})
        raise SystemExit("the router has ended")

    ask(1, "initialize", protocolVersion="2025-11-25", capabilities={"elicitation": {"url": {}}},
        clientInfo={"name": "conformance-client", "version": "1"})
    say(method="notifications/initialized")
    # It knows the tool from before, as a host does whose user is in the middle of something.
    names = {tool["name"] for tool in ask(2, "tools/list").get("tools", [])} | {"far__test-tool"}
    for number, name in enumerate(names, 3):
        ask(number, "tools/call", name=name, arguments={})
    router.stdin.close()
    router.wait(20)


def main(url):
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    oauth = {"clientMetadataUrl": CLIENT}
    if "client_id" in context:
        oauth |= {"clientId": context["client_id"], "clientSecret": context["client_secret"]}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps({"mcpServers": {"far": {
            "url": url, "oauth": oauth}}}))
        environment = {**os.environ, "XDG_STATE_HOME": folder,
                       "BROWSER": f"{sys.executable} -S -E {__file__} --browse %s"}
        command = [sys.executable, str(ROUTER), "--config", str(config)]
        subprocess.run([*command, "--login", "far"], env=environment, stdin=subprocess.DEVNULL,
                       timeout=20)
        use_tools(command, environment)     # even if that failed: a host knows nothing of it


if __name__ == "__main__":
    sys.exit(browse(sys.argv[2]) if sys.argv[1] == "--browse" else main(sys.argv[1]))
