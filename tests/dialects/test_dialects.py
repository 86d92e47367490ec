"""upstreams/config/: configs of other hosts. tests/configs/ has one of each, written by its own
documentation; the first line of each says which, and when it was read."""

import functools
import logging
import os
import re
import shutil
import sys

import pytest

from upstreams.config import entries
from upstreams.config.dialects import dialects
from upstreams.config.names import LONGEST_PREFIX
from upstreams.config.reading import ConfigError

from processes import FAKE_SERVER, ROOT

load = functools.partial(entries.load, dialects=dialects)

CONFIGS = ROOT / "tests" / "dialects" / "configs"
ENVIRONMENT = {"TOKEN": "t0ken-value", "DB_URL": "sqlite:///x", "DB_NAME": "stock",
               "HOST_NAME": "figma.example.com", "MCP_INPUT_PERPLEXITY_KEY": "pplx-value"}
BEARER = {"Authorization": "Bearer t0ken-value"}

# config → {server: what is started or reached}; what is not named is as in an empty entry
EXPECTED = {
    "claude-desktop.json": {"filesystem": dict(
        command="npx",
        args=["-y", "@modelcontextprotocol/server-filesystem", "/home/me/Desktop"])},
    "claude-code.json": {
        "db": dict(command="npx", args=["-y", "@example/db", "--dsn", "sqlite:///x"],
                   type="stdio", env={"TOKEN": "t0ken-value", "LEFT": "$lower"}),
        "api": dict(url="https://api.example.com/mcp", type="http", headers=BEARER, timeout=600,
                    headers_command=["/opt/bin/get-headers.sh", "--json"]),
        "events": dict(url="https://api.example.com/sse", type="sse")},
    "cursor.json": {
        "local": dict(command="python", args=["{folder}/tools/mcp_server.py", "{name}/x"],
                      type="stdio", env={
                          "PLAIN": "one", "SINGLE": "two # $X", "DOUBLE": 'three\n"four"',
                          "EMPTY": "", "SPACED": "a#b", "API_KEY": "t0ken-value"}),
        "remote": dict(url="https://api.example.com/mcp", headers=BEARER)},
    "windsurf.json": {
        "figma": dict(url="https://figma.example.com/mcp", headers={"X-Api-Key": "from-a-file"},
                      deny=["delete_file"]),
        "github": dict(command="npx", args=["-y", "@modelcontextprotocol/server-github"],
                       env={"GITHUB_PERSONAL_ACCESS_TOKEN": "t0ken-value"})},
    "cline.json": {
        "github.com-upstash-context7-mcp": dict(
            command="npx", args=["-y", "@upstash/context7-mcp"], env={"API_KEY": "key"},
            timeout=1800),
        "remote": dict(url="https://api.example.com/mcp", type="http",
                       headers={"Authorization": "Bearer token"})},
    "roo-code.json": {
        "local-server": dict(command="node", args=["server.js", "--token=t0ken-value"],
                             cwd="{folder}/work", env={"API_KEY": "key"}, deny=["tool2"],
                             timeout=3600),
        "modern": dict(url="https://api.example.com/mcp", type="http",
                       headers={"X-API-Key": "key"}),
        "legacy": dict(url="https://old.example.com/mcp-base", type="sse")},
    "gemini-cli.json": {
        "python": dict(command="python", args=["-m", "my_mcp_server"], cwd="{folder}/work",
                       env={"DATABASE_URL": "sqlite:///x", "API_KEY": "t0ken-value",
                            "LEFT": "$DB_UNSET"},
                       timeout=15, allow=["safe_tool", "both"], deny=["both"]),
        "streamed": dict(url="http://localhost:3000/mcp", type="http", timeout=5,
                         headers={"Authorization": "Bearer token"}),
        "events": dict(url="http://localhost:8080/sse")},
    "copilot-cli.json": {
        "serena": dict(command="uvx", args=["serena", "start-mcp-server"], type="stdio",
                       env={"API_KEY": "t0ken-value"}),
        "docs": dict(url="https://api.example.com/mcp", type="http", headers=BEARER,
                     allow=["search", "fetch"]),
        "events": dict(url="https://api.example.com/sse", type="sse", allow=[])},
    "lm-studio.json": {"hf-mcp-server": dict(url="https://huggingface.co/mcp",
                                             headers={"Authorization": "Bearer token"})},
    "kiro.json": {"local-server-name": dict(
        command="uvx", args=["some-server@latest"], timeout=120, deny=["tool_name3"],
        env={"ENV_VAR1": "hard-coded", "ENV_VAR2": "t0ken-value"})},
    "sep-2633.json": {
        "github": dict(command="npx", args=["-y", "@modelcontextprotocol/server-github@0.6.2"],
                       type="stdio", env={"A": "t0ken-value", "B": "xFooy"}),
        "analytics": dict(url="https://api.example.com/mcp", type="http",
                          headers={"X-API-Key": "t0ken-value"})},
    "vscode.json": {
        "perplexity": dict(command="npx", args=["-y", "server-perplexity-ask"], type="stdio", env={
            "PLAIN": "one", "SINGLE": "two # $X", "DOUBLE": 'three\n"four"', "EMPTY": "",
            "SPACED": "a#b", "PERPLEXITY_API_KEY": "pplx-value", "PORT": "8080",
            "DEBUG": "true"}),
        "context7": dict(url="https://mcp.context7.com/mcp", type="http")},
    "vscode-settings.json": {
        "perplexity": dict(command="npx", args=["pplx-value"]),
        "memory": dict(command="npx", args=["-y", "@modelcontextprotocol/server-memory"])},
    "zed.json": {
        "local": dict(command="uv", args=["run", "main.py"]),
        "older": dict(command="npx", args=["-y", "@example/server"], env={"A": "b"}),
        "remote": dict(url="https://api.example.com/mcp",
                       headers={"Authorization": "Bearer token"})},
    "opencode.json": {
        "my-local": dict(command="npx", args=["-y", "my-mcp-command"], type="stdio", timeout=0.5,
                         env={"MY_ENV_VAR": "t0ken-value", "KEY": "from-a-file"}),
        "my-remote": dict(url="https://my-mcp-server.com", headers=BEARER)},
    "opencode-2.json": {"my-local": dict(
        command="bun", args=["x", "my-mcp-command"], type="stdio", cwd="{folder}/work",
        env={"A": "b"}, start_timeout=30, timeout=60)},
    "crush.json": {
        "filesystem": dict(command="node", args=["/path/to/mcp-server.js"], type="stdio",
                           timeout=120, deny=["some-tool-name"], env={"NODE_ENV": "production"}),
        "github": dict(url="https://api.example.com/mcp/", type="http", headers=BEARER)},
    "codex.toml": {
        "context7": dict(command="npx", args=["-y", "@upstash/context7-mcp"], cwd="{folder}/work",
                         start_timeout=20, timeout=3000, allow=["search", "summarize"],
                         deny=["summarize"], env={"MY_ENV_VAR": "MY_ENV_VALUE"}),
        "figma": dict(url="https://mcp.figma.com/mcp", headers={
            "X-Figma-Region": "us-east-1", "X-Key": "stock", **BEARER}),
        "older": dict(command="uvx", start_timeout=60)},
    "amp.json": {
        "playwright": dict(command="npx", args=["-y", "@playwright/mcp@latest", "--headless"],
                           allow=["navigate_*", "click"]),
        "semgrep": dict(url="https://mcp.semgrep.ai/mcp")},
    "warp.json": {
        "stadiamaps": dict(command="node", args=["build/index.js"], env={"API_KEY": "key"}),
        "remote": dict(url="https://api.example.com/mcp", headers={"X-Key": "key"})},
    "qwen-code.json": {
        "httpServer": dict(url="http://localhost:3000/mcp", type="http", timeout=5),
        "docker": dict(command="docker", deny=["dangerous"], env={"API_KEY": "t0ken-value"}, args=[
            "run", "-i", "--rm", "-e", "API_KEY", "my-server:latest"])},
}
NOTHING = dict(command=None, args=[], env={}, cwd="{folder}", url=None, type=None, headers={},
               headers_command=[], allow=None, deny=[], start_timeout=60, timeout=0)
HOSTS = [name for name in EXPECTED if sys.version_info >= (3, 11) or not name.endswith(".toml")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the configs of all hosts; the variables that they name are set."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("UNSET", "DB_UNSET", "API_BASE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    shutil.copytree(CONFIGS, folder)
    (folder / "work").mkdir()
    return folder


@pytest.fixture
def write(tmp_path):
    """write(text, *folders, name) writes a file, and returns its path."""
    def write_it(text, *folders, name="x.json"):
        path = tmp_path.joinpath(*folders, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path
    return write_it


def in_short(entry):
    """What EXPECTED says of an entry."""
    kinds = {key: type(value) for key, value in NOTHING.items()}
    return {key: kinds[key](value) if kinds[key] in (list, dict) else
            list(value) if isinstance(value, tuple) else value
            for key in NOTHING for value in [getattr(entry, key)]}


def test_each_config_here_is_expected_to_mean_something():
    assert {path.name for path in CONFIGS.iterdir()} == {*EXPECTED, "names.env", "token.txt"}


@pytest.mark.parametrize("name", HOSTS)
def test_a_config_means_what_it_means_to_its_host(folder, name):
    def placed(value):
        if isinstance(value, list):
            return [placed(item) for item in value]
        return value.replace("{folder}", str(folder)).replace("{name}", folder.name) \
            if isinstance(value, str) else value
    entries = load([folder / name]).entries
    assert {name: in_short(entry) for name, entry in entries.items()} == {
        server: {key: placed(value) for key, value in {**NOTHING, **expected}.items()}
        for server, expected in EXPECTED[name].items()}


@pytest.mark.parametrize("name", HOSTS)
def test_a_config_starts_what_its_host_would_start(folder, name, run, tmp_path):
    """Its programs are stand-ins, which write down how they were started and serve. Its remote
    servers are out of reach: the proxy that leads to them does not listen."""
    local = {server: entry for server, entry in EXPECTED[name].items() if "command" in entry}
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in ("npx", "node", "uvx", "uv", "python", "docker", "bun"):
        script = programs / program
        script.write_text('#!/bin/sh\necho "${0##*/} $*" >> "$STARTED"\n'
                          f'exec "{FAKE_SERVER[0]}" "{FAKE_SERVER[1]}"\n')
        script.chmod(0o755)
    done = run(sys.executable, ROOT / "router.py", "--check", "--config", folder / name, env={
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "STARTED": tmp_path / "started",
        **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"), "no_proxy": ""})
    remote = len(EXPECTED[name]) - len(local)
    assert done.returncode == (1 if remote else 0), done.stderr.decode()
    assert len(re.findall(rb"^\S+ +failed", done.stdout, re.MULTILINE)) == remote
    (tmp_path / "started").touch()
    assert sorted((tmp_path / "started").read_text().splitlines()) == sorted(
        f"{entry['command']} {' '.join(entry.get('args', []))}".replace(
            "{folder}", str(folder)).replace("{name}", folder.name) for entry in local.values())


def test_the_log_says_once_what_was_understood(folder, caplog):
    caplog.set_level(logging.INFO, "router")
    load([folder / "opencode.json"])
    assert "opencode.json: read as a config of opencode: 2 servers" in caplog.text
    assert "mcp.my-local.timeout: understood as milliseconds: 0.5 seconds" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_a_host_keeps_for_itself_causes_no_warning(folder, caplog):
    caplog.set_level(logging.WARNING, "router")
    for name in HOSTS:
        load([folder / name])
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "mcpServers.python.env.LEFT: no variable DB_UNSET is set; this value is passed as it is",
        'left out "an-extension", which is an extension of Zed',
        'left out "an-older-extension", which is an extension of Zed',
        "ignored keys that mean nothing to this router: context_servers.older.settings"]


@pytest.mark.parametrize("other", [
    '"mcp": {"discovery": {"enabled": true}}', '"servers": {"web": {"host": "h", "port": 22}}'])
def test_other_keys_of_a_settings_file_are_none_of_our_business(write, caplog, other):
    caplog.set_level(logging.INFO, "router")
    assert list(load([write('{"mcpServers": {"a": {"command": "x"}}, %s}' % other)]).entries) == [
        "a"]
    assert caplog.text == ""


@pytest.mark.parametrize("text, words", [
    ('{"mcp": {"a": {"type": "local", "command": ["x"], "environment": {"T": "${NONE_SET}"}}}}',
     "mcp.a.environment.T: the variable NONE_SET is not set"),
    ('{"mcp": {"a": {"type": "local", "command": ["x", "{env:NONE_SET}"]}}}',
     "mcp.a.command.1: the variable NONE_SET"),
    ('{"context_servers": {"a": {"command": {"path": "x", "args": "y"}}}}',
     "context_servers.a.command.args: must be an array"),
    ('{"servers": {"a": {"command": "x", "env": {"T": "${input:my-key}"}}}, '
     '"inputs": [{"id": "my-key", "description": "The key"}]}',
     'is what VS Code asks you for ("The key"): set the variable MCP_INPUT_MY_KEY'),
    ('{"mcpServers": {"a": {"command": "x", "includeTools": "t"}}}',
     "mcpServers.a.includeTools: must be an array"),
    ('{"mcpServers": {"a": {"url": "http://x", "httpUrl": "http://y"}}}',
     'mcpServers.a: has both "url" and "httpUrl"'),
    ('{"mcpServers": {"a": {"command": "x", "includeTools": ["t"], "tools": ["u"]}}}',
     'mcpServers.a: has both "tools" and "includeTools"'),
    ('{"mcp_servers": {"a": {"url": "http://x", "bearer_token_env_var": "NONE_SET"}}}',
     "mcp_servers.a.bearer_token_env_var: the variable NONE_SET is not set"),
    ('{"mcp_servers": {"a": {"url": "http://x", "env_http_headers": {"X": []}}}}',
     "mcp_servers.a.env_http_headers.X: must be a string"),
    ('{"servers": {}, "inputs": []}', "servers: must name at least one server"),
])
def test_what_is_wrong_is_named_as_the_file_names_it(write, words, text, monkeypatch):
    monkeypatch.delenv("NONE_SET", raising=False)
    with pytest.raises(ConfigError) as problem:
        load([write(text)])
    assert words in str(problem.value)


def test_a_file_that_is_no_toml_is_refused(write):
    with pytest.raises(ConfigError, match="x.toml: (not TOML|is TOML, which needs Python 3.11)"):
        load([write("[mcp_servers", name="x.toml")])


@pytest.mark.parametrize("text, server", [
    ('{"mcpServers": {"a": {"uri": "http://x/mcp", "transport": {"type": "http"}}}}',
     ("a", None, "http://x/mcp", "http")),
    ('{"mcp_servers": [{"name": "a", "transport": "stdio", "command": "x"}]}',
     ("a", "x", None, "stdio")),
    ('{"github.copilot.chat.mcp.servers": {"a": {"url": "http://x", "type": "HTTP"}}}',
     ("a", None, "http://x", "http")),
    ('{"mcpServers": {"a": {"command": "x", "disabled": false, "disabled": false}}}',
     ("a", "x", None, None)),
])
def test_rarer_forms_of_readmes_are_understood(write, text, server):
    (entry,) = load([write(text)]).entries.values()
    assert (entry.name, entry.command, entry.url, entry.type) == server


@pytest.mark.parametrize("host_folder", [".vscode", ".cursor", ".roo"])
def test_a_config_in_the_folder_of_a_host_is_for_the_folder_above(write, tmp_path, host_folder):
    path = write('{"servers": {"a": {"command": "./x", "args": ["${workspaceFolder}"]}}}',
                 "project", host_folder)
    (entry,) = load([path]).entries.values()
    project = str(tmp_path / "project")
    assert (entry.command, entry.args, entry.cwd) == (f"{project}/x", (project,), project)


@pytest.mark.parametrize("command, started", [
    ("npx -y foo", ("npx", ("-y", "foo"))),
    ("./run.sh --fast", ("{folder}/run.sh", ("--fast",))),
    ("/opt/My App/run", ("/opt/My App/run", ())),
])
def test_a_command_line_is_a_command_with_arguments(write, tmp_path, command, started):
    write("", name="run.sh")
    (entry,) = load([write(f'{{"mcpServers": {{"a": {{"command": "{command}"}}}}}}')]
                    ).entries.values()
    assert (entry.command.replace(str(tmp_path), "{folder}"), entry.args) == started


@pytest.mark.parametrize("name, path, prefix", [
    ("Framelink MCP for Figma", "Framelink-MCP-for-Figma", "Framelink-MCP-for-Figma"),
    ("DuckDB (in-memory, r/w)", "DuckDB-in-memory-r-w", "DuckDB-in-memory-r-w"),
    ("awslabs.core-mcp-server", "awslabs.core-mcp-server", "awslabs-core-mcp-server"),
    ("..", "server-5ec1f7e7", "server-5ec1f7e7"), ("mcp", "mcp", "mcp"),
    ("x" * 100, "x" * 100, None),
])
def test_a_name_that_cannot_be_part_of_a_path_gets_one_made_from_it(write, name, path, prefix):
    (entry,) = load([write(f'{{"mcpServers": {{"{name}": {{"command": "x"}}}}}}')]
                    ).entries.values()
    assert entry.name == path
    assert len(entry.prefix) <= LONGEST_PREFIX + 2 and entry.prefix.endswith("__")
    assert prefix is None or entry.prefix == f"{prefix}__"


def test_several_files_are_merged_in_order_and_each_has_its_own_default(write):
    config = load([write('{"servers": {"b": {"command": "x"}}}'),
                   write('{"shared": true, "mcpServers": {"a": {"command": "y"}, "off": '
                         '{"disabled": true}}, "groups": {"all": ["b", "a", "off"]}}',
                         name="y.json")])
    assert [(entry.name, entry.shared) for entry in config.entries.values()] == [
        ("b", None), ("a", True)]
    assert config.groups == {"all": ["b", "a"]}


def test_a_server_or_a_group_in_two_files_is_refused_with_both(write):
    one = write('{"mcpServers": {"a": {"command": "x"}}, "groups": {"g": ["a"]}}')
    for text in ('{"servers": {"a": {"command": "x"}}}',
                 '{"servers": {"b": {"command": "x"}}, "groups": {"g": ["b"]}}'):
        with pytest.raises(ConfigError) as problem:
            load([one, write(text, name="y.json")])
        assert "x.json" in str(problem.value) and "y.json" in str(problem.value)


def test_a_default_may_have_variables_and_braces(write, monkeypatch):
    monkeypatch.setenv("SET", "value")
    monkeypatch.delenv("NONE_SET", raising=False)
    (entry,) = load([write('{"mcpServers": {"a": {"command": "x", "args": ["${SET:-${NONE_SET}}", '
                           r'"${NONE_SET:-<${SET}>}", "${NONE_SET:-{\"b\": 1}}", "${1}", "${SET"]'
                           "}}}")]).entries.values()
    assert entry.args == ("value", "<value>", '{"b": 1}', "${1}", "${SET")


def test_paths_and_well_known_variables_are_no_secrets_but_keys_are(write, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("TOKEN", "t0ken-value")
    (entry,) = load([write(
        '{"mcpServers": {"a": {"url": "https://x.example/?key=in-a-query", "env": {"H": "${HOME}",'
        ' "F": "${FOLDER}"}, "headers": {"Authorization": "Bearer in-a-header", "X": "${TOKEN}"}'
        ', "tls": {"ca": "${userHome}/ca.pem", "key": "key.pem"}}}}')]).entries.values()
    assert set(entry.secrets) == {"in-a-query", "Bearer in-a-header", "in-a-header", "t0ken-value"}
    assert (entry.ca, entry.key) == (str(tmp_path / "ca.pem"), str(tmp_path / "key.pem"))
