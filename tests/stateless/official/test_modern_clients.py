"""Official clients of revision 2026-07-28 in front of servers of every era.

Through the router they must get what a client of the same SDK gets from the server itself: from a
modern server every field of it, on a single surface; else all but what only one era has.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest
from mcp import StdioServerParameters

from official import over_http
from processes import NPM_FOLDER, npm, wait_until
from sdk_tour import of_any_era, over_stdio, sdk, travel

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
CLIENTS = ("python-auto", "python-pinned", "typescript-auto", "typescript-pinned")
PYTHON_MODES = {"auto": "auto", "pinned": "2026-07-28", "legacy": "legacy"}
every_client = pytest.mark.parametrize("client", CLIENTS)
every_way = pytest.mark.parametrize("way", ["http-single", "http-aggregate", "stdio-aggregate"])
every_server = pytest.mark.parametrize("server", ["legacy", "modern", "both"])


@pytest.fixture(scope="module")
def tour_by(tmp_path_factory):
    """tour_by("python-auto", target, …) → what this client gets. The target is a URL, or what the
    client starts."""
    def python(mode, target, **more):
        return travel(over_http(target) if isinstance(target, str)
                      else StdioServerParameters(**target), PYTHON_MODES[mode], **more)

    def typescript(mode, target, **more):
        npm("client")
        folder = tmp_path_factory.mktemp("typescript")
        (folder / "node_modules").symlink_to(NPM_FOLDER / "node_modules")
        script = folder / "modern_client.mjs"
        script.write_text((Path(__file__).parent / script.name).read_text("utf-8"))
        done = subprocess.run(["node", str(script), json.dumps({
            "mode": mode, "prefix": "", "scheme": "sdk", **more,
            **({"url": target} if isinstance(target, str) else target)})],
            capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        seen = json.loads(done.stdout)
        assert seen.pop("era") == ("legacy" if mode == "legacy" else "modern")
        return seen

    def tour(client, target, **more):
        language, mode = client.split("-")
        return {"python": python, "typescript": typescript}[language](mode, target, **more)
    return tour


@pytest.fixture(scope="module")
def from_the_server_itself(tour_by):
    """from_the_server_itself(client, server) → what a client of the same SDK gets there."""
    known = {}

    def itself(client, server, **more):
        client = re.sub("-.*", "-legacy" if server == "legacy" else "-auto", client)
        if (client, server, *more) not in known:
            known[client, server, *more] = tour_by(client, sdk(server, server), scheme=server,
                                                   **more)
        return known[client, server, *more]
    return itself


def same(seen, expected):
    """Told apart by what was asked: a difference of everything is hard to read."""
    assert list(seen) == list(expected)
    for what in expected:
        assert json.dumps(seen[what], indent=1, sort_keys=True) == json.dumps(
            expected[what], indent=1, sort_keys=True), what


def same_for(client, way, server, seen, expected):
    if way.endswith("aggregate"):
        expected = {**expected, "server": "mcp-local-router"}
    if client == "python-pinned":   # it asks nobody who the server is
        expected = {**expected, "server": None}
    if way.endswith("aggregate") or server == "legacy":
        seen, expected = of_any_era(seen), of_any_era(expected)
    same(seen, expected)


def cancelled(running):
    return sum(line.endswith("cancelled") for line in running.lines)


@every_server
@every_way
@every_client
def test_a_modern_client_gets_what_the_server_itself_gives(
        router, config, tour_by, from_the_server_itself, client, way, server):
    prefix = "" if way == "http-single" else f"{server}__"
    expected = from_the_server_itself(client, server)
    if way == "stdio-aggregate":
        target = over_stdio(config(**{server: sdk(server, server)}))
        target = {"command": target.command, "args": target.args}
    else:
        target = router.url + ("/mcp" if prefix else f"/mcp/{server}")
    before = cancelled(router)
    seen = tour_by(client, target, prefix=prefix, scheme=server)
    same_for(client, way, server, seen, expected)
    if way != "stdio-aggregate":
        assert wait_until(lambda: cancelled(router) == before + 1)


@every_server
@pytest.mark.parametrize("way", ["http-single", "http-aggregate"])
def test_a_modern_client_that_cannot_be_asked_is_told_the_same_as_by_the_server(
        router, tour_by, from_the_server_itself, way, server):
    prefix = "" if way == "http-single" else f"{server}__"
    expected = from_the_server_itself("python-auto", server, askable=False)
    seen = tour_by("python-auto", router.url + ("/mcp" if prefix else f"/mcp/{server}"),
                   prefix=prefix, scheme=server, askable=False)
    same_for("python-auto", way, server, seen, expected)
