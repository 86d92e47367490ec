"""Every room can be taken out: what is left works, and says what it lacks.

See tests/rooms.py; `tox -e core` takes all of them out, and runs all that is left of the tests.
"""

import json
import re
import signal
import subprocess
import sys

import pytest
from rooms import ROOMS, copy_without, with_dependents

from by_hand import Sse, get

# Tests of the core that start no process, and take a few seconds.
QUICK = ["tests/fabric", "tests/config", "tests/routing/test_transcripts.py",
         "tests/sharing/test_properties.py", "--few-examples"]
# room → (options, a server in the config, what the program says to that without the room)
REFUSED = {
    "transports/tap": (["--trace", "trace.json"], {"command": "python3"}, "--trace needs a room"),
    "upstreams/relay": (["--connect", "http://localhost:1"], {}, "--connect needs a room"),
    "upstreams/connections/remote": (["--check"], {"url": "http://localhost:1"},
                                     "a.url: needs a room"),
    "upstreams/eras": (["--check"], {"command": "python3", "protocol": "modern"},
                       "a.protocol: needs a room"),
    "upstreams/rest": (["--check"], {"command": "python3", "start": "first-use"},
                       "a.start: needs a room"),
    "upstreams/config/programs": (["--check"], {"command": "npxx"},
                                  "may not be run; searched PATH="),
    "upstreams/login": (["--login", "a"], {"url": "http://localhost:1"}, "--login needs a room"),
    "upstreams/config/dialects": ([], None, 'needs the key "mcpServers"'),
}
PATHS = {"transports/http/streamable": "/mcp", "transports/http/live": "/live"}


class Left:
    """A copy without some rooms."""

    def __init__(self, room, folder):
        self.room, self.out, self.folder = room, with_dependents([room]), folder
        copy_without(self.out, folder)

    def popen(self, *command, **more):
        return subprocess.Popen([sys.executable, *command], cwd=self.folder, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


@pytest.fixture(scope="module")
def left(request, tmp_path_factory):
    return Left(request.param, tmp_path_factory.mktemp("left"))


every_room = pytest.mark.parametrize("left", ROOMS, indirect=True, scope="module")


@every_room
def test_what_is_left_passes_quick_tests_of_the_core(left):
    with left.popen("-m", "pytest", "-q", "-p", "no:cacheprovider", *QUICK) as tests:
        printed = tests.communicate(timeout=300)[0]
    assert tests.returncode == 0, printed


@every_room
def test_every_test_that_is_left_can_be_imported(left):
    with left.popen("-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only") as tests:
        printed = tests.communicate(timeout=300)[0]
    assert tests.returncode == 0, printed[-5000:]


@every_room
def test_the_first_command_of_the_readme_works(left):
    with left.popen("router.py", "--config", "mcp-config.json", "--transport", "sse",
                    "--port", "0") as router:
        try:
            printed = []
            for line in router.stdout:
                printed.append(line)
                if "all together" in line:
                    break
            url = re.search(r"listening on (http://\S+)", "".join(printed))[1]
            with Sse(url) as client:
                assert "result" in client.hello
                client.post({"method": "notifications/initialized"})
                client.post({"id": 2, "method": "tools/list"})
                tools = {tool["name"] for tool in client.get()["result"]["tools"]}
                assert {"time__now", "files__find"} <= tools
            for room, path in PATHS.items():
                # At /mcp another room may be left, which has nothing for GET.
                assert (get(url + path)[0] in (404, 405)) == (room in left.out), path
        finally:
            router.send_signal(signal.SIGTERM)
            rest = router.communicate(timeout=30)[0]
    assert router.returncode == 0, rest


@pytest.mark.parametrize("left", REFUSED, indirect=True, scope="module")
def test_what_needs_the_room_is_refused_with_a_sentence(left):
    options, server, said = REFUSED[left.room]
    (left.folder / "config.json").write_text(json.dumps(
        {"servers": {"a": {"command": "python3"}}} if server is None
        else {"mcpServers": {"a": server}}))
    with left.popen("router.py", *([] if "--connect" in options else ["--config", "config.json"]),
                    *options, stdin=subprocess.DEVNULL) as router:
        printed = router.communicate(timeout=30)[0]
    # Only the server that needs the room fails
    assert router.returncode == (1 if "--check" in options else 2) and said in printed
