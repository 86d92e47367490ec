"""upstreams/config/programs/: what is known of the commands that a config names."""

import json

import pytest

from upstreams.config.entries import OurFormat, load
from upstreams.config.programs import commands, known


@pytest.fixture
def write(tmp_path):
    """write(config) returns the path of a file with it."""
    def write_it(config):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config), "utf-8")
        return path
    return write_it


def servers(**entries):
    return {"mcpServers": entries}


def entries_of(path):
    return load([path], form=OurFormat(known=known)).entries


def test_what_a_package_keeps_of_its_client_is_never_shared_unless_the_server_says_so(write):
    browser = {"command": "npx", "args": ["-y", "@playwright/mcp@latest"]}
    plain = {"command": "npx", "args": ["-y", "some-server"]}
    path = write({"shared": True, "mcpServers": {
        "browser": browser, "mine": {**browser, "shared": True}, "plain": plain,
        "not": {**plain, "shared": False}}})
    assert {name: entry.shared for name, entry in entries_of(path).items()} == {
        "browser": False, "mine": True, "plain": True, "not": False}
    assert entries_of(write(servers(plain=plain)))["plain"].shared is None


@pytest.mark.parametrize("command, args", [
    ("npx.cmd", ["-y", "chrome-devtools-mcp@1.2.3"]), ("uvx", ["jupyter-mcp-server[all]==2.0"]),
    ("docker", ["run", "-i", "mcp/playwright:latest"]), ("/opt/bin/desktop-commander", []),
    ("docker", ["run", "-i", "--rm", "mcr.microsoft.com/playwright/mcp"]),
    ("podman", ["run", "mcr.microsoft.com/playwright/mcp@sha256:0123456789abcdef"]),
    ("docker", ["run", "docker.io/mcp/puppeteer"]), ("docker", ["run", "ghcr.io/oraios/serena:1"]),
    ("docker", ["run", "registry.example:5000/mcp/playwright:latest"]),
    ("npx", ["-y", "--package=@playwright/mcp@latest", "x"]), ("npx", ["-p", "@playwright/mcp"]),
    ("uvx", ["--from=serena-agent", "x"]), ("deno", ["run", "npm:@playwright/mcp@1"]),
    ("playwright-mcp", []), ("C:\\tools\\playwright-mcp.cmd", ["--headless"]),
    ("mcp-server-puppeteer", []), ("python3", ["-m", "jupyter_mcp_server"]),
    ("python3", ["/opt/venv/bin/jupyter-mcp-server"]),
    ("node", ["/usr/lib/node_modules/@playwright/mcp/cli.js"]),
    ("node", ["C:\\npm\\node_modules\\chrome-devtools-mcp\\index.js"]),
    ("sh", ["-c", "npx -y @playwright/mcp@latest --headless"]),
    ("/bin/bash", ["-lc", "cd /tmp && exec /opt/bin/desktop-commander"]),
    ("env", ["A=b", "zsh", "-c", "'npx' \"@playwright/mcp\""]),
    ("cmd", ["/c", "npx -y chrome-devtools-mcp"])])
def test_a_known_package_is_found_however_it_is_started(write, monkeypatch, command, args):
    monkeypatch.setattr(commands, "WINDOWS", "C:" in str([command, *args]))
    assert entries_of(write(servers(a={"command": command, "args": args})))["a"].shared is False


@pytest.mark.parametrize("command, args", [
    ("npx", ["-y", "@example/files", "/home/me/serena"]), ("x", ["--prompt", "use serena now"]),
    ("docker", ["run", "mcp/fetch"]), ("node", ["/home/me/browser-use/server.js"]),
    ("sh", ["-c", "npx -y @example/files /home/me/serena"]), ("npx", ["playwright-mcp-tester"])])
def test_what_only_looks_like_a_known_package_is_none(write, command, args):
    assert entries_of(write(servers(a={"command": command, "args": args})))["a"].shared is None


def test_of_a_known_package_it_is_known_that_it_lists_by_capabilities(write):
    known = {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-everything@2"]}
    entries = entries_of(write(servers(
        a=known, b={**known, "listsByCapabilities": False}, c={"command": "x"},
        d={"command": "sh", "args": ["-c", "npx @modelcontextprotocol/server-everything -y"]})))
    assert [entry.lists_by_capabilities for entry in entries.values()] == [
        True, False, False, True]


@pytest.mark.parametrize("command, args, words", [
    ("cmd", ["/c", "npx", "-y", "x"], "it is a program of Windows, and this system is another"),
    ("wsl.exe", ["-e", "npx"], "it is a program of Windows, and this system is another"),
    (r"\\srv\share\x.exe", [], r'"\\srv\share\x.exe" is a path of Windows'),
    ("start.bat", [], "it is a program of Windows, and this system is another"),
    (r"C:\Tools\node.exe", [], r'"C:\Tools\node.exe" is a path of Windows'),
    ("C:/Tools/node.exe", [], '"C:/Tools/node.exe" is a path of Windows'),
    ("node", [r"C:\Users\me\index.js"], r'"C:\Users\me\index.js" is a path of Windows')])
def test_what_is_of_windows_fails_here_with_a_sentence_and_once(check, command, args, words):
    status, text = check({"one": {"command": command, "args": args}})
    assert status == 1 and words in text and check.log.count("is not running") == 1


def test_arguments_of_an_unknown_program_may_be_for_a_windows_machine(check):
    _, text = check({"one": {"command": "ssh-to-there", "args": [r"C:\Tools\server.exe"]}})
    assert "is a path of Windows" not in text and "was not found" in text


@pytest.mark.parametrize("command, program", [
    ("npx", "Node.js"), ("uvx", "uv"), ("docker", "Docker"), ("/opt/none/bunx", "Bun")])
def test_a_missing_command_names_what_to_install(check, command, program):
    _, text = check({"one": {"command": command}}, PATH="/nowhere")
    assert f'the command "{command}" was not found or may not be run; it comes with {program} (' \
        in text
