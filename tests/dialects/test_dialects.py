"""upstreams/config/dialects/: configs of other hosts.

configs/ has an example of each host. Its first line names the host and the documentation that it
was written by, with the day when that was read; its last lines, after "means", say what each
server is to the host. What is not named there is as in an empty entry.
"""

import functools
import json
import logging
import os
import re
import shutil
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstreams.config import entries
from upstreams.config.checking import SCHEMA
from upstreams.config.dialects import Dialects
from upstreams.config.dialects.comments import parse
from upstreams.config.dialects.hosts import HOSTS, WORDS, Word
from upstreams.config.reading import ConfigError
from upstreams.server.catalog import TOOLS, Catalog

from json_values import JSON
from processes import FAKE_SERVER, ROOT

dialects = Dialects()
load = functools.partial(entries.load, form=dialects)

CONFIGS = ROOT / "tests" / "dialects" / "configs"
ENVIRONMENT = {"TOKEN": "t0ken-value", "DB_URL": "sqlite:///x", "DB_NAME": "stock",
               "HOST_NAME": "figma.example.com", "MCP_INPUT_PERPLEXITY_KEY": "pplx-value"}
NOTHING = dict(command=None, args=[], env={}, cwd="{folder}", url=None, type=None, headers={},
               headers_command=[], allow=None, deny=[], start_timeout=60, timeout=0)
EXAMPLES = sorted(path.name for path in CONFIGS.iterdir() if path.suffix in (".json", ".toml"))
READABLE = [name for name in EXAMPLES if sys.version_info >= (3, 11) or name.endswith(".json")]


def expected(name):
    """{server: what it means to the host}, as the example says."""
    lines = (CONFIGS / name).read_text("utf-8").splitlines()
    begins = [i for i, line in enumerate(lines) if line.lstrip("/# ") == "means"]
    assert begins, f'{name} has no line "means", after which it says what its servers are'
    return json.loads("".join(line.lstrip("/#") for line in lines[begins[0] + 1:]))


def host_of(name):
    """The host that the first line of an example names."""
    return (CONFIGS / name).read_text("utf-8").lstrip("/# ").partition(",")[0]


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


def problem_of(path, name="a"):
    """What is wrong with this server."""
    return load([path]).entries[name].problem


def in_short(entry):
    """What EXPECTED says of an entry."""
    kinds = {key: type(value) for key, value in NOTHING.items()}
    return {key: kinds[key](value) if kinds[key] in (list, dict) else
            list(value) if isinstance(value, tuple) else value
            for key in NOTHING for value in [getattr(entry, key)]}


@pytest.mark.parametrize("name", READABLE)
def test_a_config_means_what_it_means_to_its_host(folder, name):
    def placed(value):
        if isinstance(value, list):
            return [placed(item) for item in value]
        return value.replace("{folder}", str(folder)).replace("{name}", folder.name) \
            if isinstance(value, str) else value
    entries = load([folder / name]).entries
    assert {name: in_short(entry) for name, entry in entries.items()} == {
        server: {key: placed(value) for key, value in {**NOTHING, **means}.items()}
        for server, means in expected(name).items()}


@pytest.mark.parametrize("name", READABLE)
def test_a_config_starts_what_its_host_would_start(folder, name, run, tmp_path):
    """Its programs are stand-ins, which write down how they were started and serve. Its remote
    servers are out of reach: the proxy that leads to them does not listen."""
    local = {server: entry for server, entry in expected(name).items() if "command" in entry}
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in {entry["command"] for entry in local.values()}:
        script = programs / program
        script.write_text('#!/bin/sh\necho "${0##*/} $*" >> "$STARTED"\n'
                          f'exec "{FAKE_SERVER[0]}" "{FAKE_SERVER[1]}"\n')
        script.chmod(0o755)
    done = run(sys.executable, ROOT / "router.py", "--check", "--config", folder / name, env={
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "STARTED": tmp_path / "started",
        **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
        "no_proxy": "none"})
    remote = len(expected(name)) - len(local)
    assert done.returncode == (1 if remote else 0), done.stderr.decode()
    assert len(re.findall(rb"^\S+ +failed", done.stdout, re.MULTILINE)) == remote
    (tmp_path / "started").touch()
    assert sorted((tmp_path / "started").read_text().splitlines()) == sorted(
        f"{entry['command']} {' '.join(entry.get('args', []))}".replace(
            "{folder}", str(folder)).replace("{name}", folder.name) for entry in local.values())


# -- what is easily forgotten when a host is added


def test_each_example_is_of_a_host_and_each_host_has_an_example():
    assert {host_of(name) for name in EXAMPLES} == {host.name for host in HOSTS}


def test_the_table_of_the_readme_has_each_host():
    page = (ROOT / "upstreams/config/dialects/README.md").read_text("utf-8")
    table = page.split("| where its")[1]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .+ \|$", table, re.MULTILINE)
    listed = {name: where for names, where in rows for name in names.split(", ")}
    assert listed.keys() == {host.name for host in HOSTS}
    for host in HOSTS:
        assert all(f"`{place}`" in listed[host.name] for place in host.at if place), host.name


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_each_word_of_a_host_is_in_an_example(host):
    """The examples in TOML too: by their text, so that this needs no Python 3.11."""
    texts = [(CONFIGS / name).read_text("utf-8") for name in EXAMPLES
             if host_of(name) == host.name]
    for word in host.words:
        assert any(re.search(rf"\b{re.escape(part)}\b", text) for text in texts
                   for part in [word.rpartition(".")[2]]), word


def test_a_word_means_the_same_to_all_hosts():
    for host in HOSTS:
        for word, means in host.words.items():
            assert WORDS[word] == (Word(means) if isinstance(means, str) else means), host.name
            assert word not in SCHEMA["$defs"]["server"]["properties"], host.name


@pytest.mark.parametrize("place", sorted({
    place for host in HOSTS for place in host.at if place}))
def test_a_server_that_says_how_it_is_reached_in_any_word_is_found(write, place):
    """Where servers are in the usual place too, what has no such word is another setting."""
    for word in ["command", "url", *(word for word, means in WORDS.items()
                                     if means.ours in ("command", "url"))]:
        server = "http://b"
        for key in reversed(word.split(".")):
            server = {key: server}
        config = {"mcpServers": {"a": {"command": "x"}}, place: {"b": server}}
        assert "b" in load([write(json.dumps(config))]).entries, word


def named(value, path):
    """Whether there is something at this path of keys, which may have dots in them."""
    inside = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    return any(path == str(key) or path.startswith(f"{key}.") and named(
        item, path[len(f"{key}."):]) for key, item in inside)


def damaged(value):
    """Yield the value with each of its parts in turn replaced by what is of no use there."""
    for key, item in list(value.items() if isinstance(value, dict) else
                          enumerate(value) if isinstance(value, list) else ()):
        for other in ([[7]], {"x": {"y": 7}}, 7.5, "", "${NONE_SET}", "${command:x}"):
            value[key] = other
            yield value
        value[key] = item
        yield from ((damage, value)[1] for damage in damaged(item))


ABOUT_ALL = {"top level", "is a server without a name", "every server in it is disabled"}


@pytest.mark.parametrize("name", READABLE)
def test_an_error_names_keys_that_the_file_has(folder, name, monkeypatch):
    monkeypatch.delenv("NONE_SET", raising=False)
    path = folder / name
    whole = dialects.parsers.get(path.suffix, parse)(path.read_text("utf-8"))
    wrong = 0
    for config in damaged(whole):
        monkeypatch.setattr(dialects, "parsers", {path.suffix: lambda text: config})
        try:
            problems = [problem for entry in load([path]).entries.values() if entry.problem
                        for problem in entry.problem.split(f"; {path}: ")]
        except ConfigError as problem:
            problems = [str(problem)]
        for problem in problems:
            place = problem.removeprefix(f"{path}: ").partition(": ")[0]
            assert place in ABOUT_ALL or named(config, place), problem
            wrong += 1
    assert wrong > 5


def test_the_log_says_once_what_was_understood(folder, caplog):
    caplog.set_level(logging.INFO, "router")
    load([folder / "opencode.json"])
    assert "opencode.json: read as a config of opencode: 2 servers" in caplog.text
    assert "mcp.my-local.timeout: understood as milliseconds: 0.5 seconds" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_a_host_keeps_for_itself_causes_no_warning(folder, caplog):
    caplog.set_level(logging.WARNING, "router")
    for name in READABLE:
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
    ('{"mcpServers": {"a": {"url": "http://x", "serverUrl": "http://y"}}}',
     'mcpServers.a: has both "url" and "serverUrl"'),
    ('{"servers": {"a": {"command": "x", "args": ["${input:key}"]}}, "inputs": [{"id": "key"}]}',
     "is what VS Code asks you for: set the variable MCP_INPUT_KEY"),
    ('{"mcp": {"a": {"type": "local", "command": []}}}', "mcp.a.command: must not be empty"),
    ('{"mcpServers": {"a": {"command": "x", "autoStart": "false"}}}',
     "a.autoStart: must be a boolean"),
    ('{"mcpServers": {"a": {"baseUrl": "http://x", "headers": {"K": "$env:NONE_SET"}}}}',
     "a.headers.K: the variable NONE_SET is not set: set it"),
    ('{"mcpServers": {"a": {"command": "x", "includeTools": ["t"], "tools": ["u"]}}}',
     'mcpServers.a: has both "tools" and "includeTools"'),
    ('{"mcp_servers": {"a": {"url": "http://x", "bearer_token_env_var": "NONE_SET"}}}',
     "mcp_servers.a.bearer_token_env_var: the variable NONE_SET is not set"),
    ('{"mcp_servers": {"a": {"url": "http://x", "env_http_headers": {"X": []}}}}',
     "mcp_servers.a.env_http_headers.X: must be a string"),
    ('{"mcpServers": {"a": {"command": "x", "enabled": "false"}}}',
     "a.enabled: must be a boolean"),
    ('{"mcpServers": {"a": {"command": "x", "isActive": 0}}}', "a.isActive: must be a boolean"),
    ('{"mcpServers": {"a": 7}}', "mcpServers.a: must be an object"),
    ('{"mcpServers": {"a": {"command": "x", "env": {"K": "${file:\\u0000}"}}}}',
     "a.env.K: the file "),
    ('{"mcpServers": {"a": {"command": "x", "env": {"K": "${command:pickFile}"}}}}',
     "a.env.K: ${command:…} is something that only the editor"),
    ('{"mcpServers": {"a": {"command": "x", "args": ["${input:key}"]}}}', "set the variable MCP_"),
])
def test_what_is_wrong_is_named_as_the_file_names_it(write, words, text, monkeypatch):
    monkeypatch.delenv("NONE_SET", raising=False)
    assert words in problem_of(write(text))


@pytest.mark.parametrize("text, words", [
    ('{"servers": {}, "inputs": []}', "servers: must name at least one server"),
    ('{"mcpServers": []}', "mcpServers: must be an object"),
    ('{"command": "x", "args": []}', "is a server without a name: write"),
    ('{"mcpServers": {"a": {"command": "x"}}, "servers": {"a": {"command": "y"}}}',
     "servers.a: is called a here, as is "),
])
def test_a_file_of_which_nobody_can_say_which_servers_it_means_is_refused(write, text, words):
    with pytest.raises(ConfigError) as problem:
        load([write(text)])
    assert words in str(problem.value)


def test_a_file_that_is_no_toml_is_refused(write):
    with pytest.raises(ConfigError, match="x.toml: (not TOML|is TOML, which needs Python 3.11)"):
        load([write("[mcp_servers", name="x.toml")])


def test_a_list_of_servers_in_which_two_have_one_name_is_refused(write):
    with pytest.raises(ConfigError, match='mcp_servers.1.name: is "a", as that of number 0: ren'):
        load([write('{"mcp_servers": [{"name": "a", "command": "x"}, {"name": "a"}]}')])


@pytest.mark.parametrize("second, name, words", [
    ('{"command": "y"}', "mcp_servers.1", 'mcp_servers.1: needs the key "name", with a name'),
    ('{"name": 7, "command": "y"}', "mcp_servers.1", 'mcp_servers.1: needs the key "name"'),
    ('{"name": "b", "command": "x", "args": "y"}', "b", "mcp_servers.1.args: must be an array"),
])
def test_of_a_list_of_servers_each_is_right_or_wrong_by_itself(write, second, name, words):
    path = write('{"mcp_servers": [{"name": "a", "command": "x"}, %s]}' % second)
    assert problem_of(path) is None and words in problem_of(path, name)


@pytest.mark.parametrize("number", ["nan", "-nan", "inf", "1e999"])
@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")
def test_what_is_no_number_is_refused_in_toml_too(write, number):
    """nan is not equal to itself, so that each reload would restart the server."""
    with pytest.raises(ConfigError, match="x.toml: not TOML: "):
        load([write(f'[mcp_servers.a]\ncommand = "x"\ntool_timeout_sec = {number}',
                    name="x.toml")])


def test_a_number_beyond_all_bounds_is_refused(write, caplog):
    caplog.set_level(logging.INFO, "router")
    long = "9" * 400
    for key in ("timeout", "startup_timeout_ms"):
        path = write(f'{{"mcpServers": {{"a": {{"command": "x", "{key}": {long}}}}}}}')
        assert f"a.{key}: must be at most" in problem_of(path)


def test_a_file_of_a_variable_belongs_to_the_config(folder):
    """It is looked at as the config is, so that a change is followed."""
    assert {path.name for path in load([folder / "windsurf.json"]).files} == {
        "windsurf.json", "token.txt"}


def test_a_file_of_a_variable_that_is_a_pipe_is_refused_and_not_read(write, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    path = write('{"mcpServers": {"a": {"command": "x", "env": {"K": "${file:pipe}"}}}}')
    assert "pipe cannot be read: it is a pipe" in problem_of(path)


def test_a_config_that_is_nested_too_deeply_is_refused(write):
    with pytest.raises(ConfigError, match="is nested too deeply"):
        load([write('{"mcp": {"a": {"type": "local", "command": ["x"], "more": '
                    + "[" * 900 + "]" * 900 + "}}}")])


@pytest.mark.parametrize("text, server", [
    ('{"mcpServers": {"a": {"uri": "http://x/mcp", "transport": {"type": "http"}}}}',
     ("a", None, "http://x/mcp", "http")),
    ('{"mcp_servers": [{"name": "a", "transport": "stdio", "command": "x"}]}',
     ("a", "x", None, "stdio")),
    ('{"mcpServers": {"a": {"httpUrl": "http://x", "url": "http://y"}}}',    # as Gemini CLI does
     ("a", None, "http://x", "http")),
    ('{"github.copilot.chat.mcp.servers": {"a": {"url": "http://x", "type": "HTTP"}}}',
     ("a", None, "http://x", "http")),
    ('{"mcpServers": {"a": {"command": "x", "disabled": false, "disabled": false}}}',
     ("a", "x", None, None)),
])
def test_rarer_forms_of_readmes_are_understood(write, text, server):
    (entry,) = load([write(text)]).entries.values()
    assert (entry.name, entry.command, entry.url, entry.type) == server


def off(config, server, *tools):
    """Which of these tools of the server a config of opencode switches off."""
    entry = load([config]).entries[server]
    return [tool for tool in tools if entry.hides(tool)]


OPENCODE = """{"mcp": {"git hub": {"type": "local", "command": ["x"]}, "files": {"type": "local",
               "command": ["x"]}}, "%s": %s}"""


@pytest.mark.parametrize("key, rules, hidden", [
    ("tools", '{"git_hub_*": false}', ["get.it", "get", "drop"]),
    ("tools", '{"git_hub*": false, "git_hub_get": true}', ["get.it", "drop"]),
    ("tools", '{"git_hub_get": true, "git_hub*": false}', ["get.it", "get", "drop"]),
    ("tools", '{"*": false, "*_get*": true, "git_hub_get_it": false}', ["get.it", "drop"]),
    ("tools", '{"*_drop": false, "files_*": false, "bash": false}', ["drop"]),
    ("tools", '{"git_hub_?et": false, "git_hub_[d]rop": false}', ["get"]),
    ("tools", '[false]', []), ("tools", '{"git_hub_*": "no"}', []),
    ("permission", '{"git_hub_*": "deny", "git_hub_get": "ask"}', ["get.it", "drop"]),
    ("permission", '"deny"', ["get.it", "get", "drop"]), ("permission", '"allow"', []),
    ("permission", '{"git_hub_drop": {"*": "deny"}, "git_hub_get": {"*": "deny", "a": "allow"}}',
     ["drop"]),
])
def test_what_opencode_switches_off_by_pattern_is_off(write, key, rules, hidden):
    assert off(write(OPENCODE % (key, rules)), "git-hub", "get.it", "get", "drop") == hidden


def test_a_pattern_for_one_server_says_nothing_of_another(write):
    config = OPENCODE % ("tools", '{"git_hub_*": false}')
    assert off(write(config), "files", "git_hub_x", "x") == []


def test_of_tools_and_permission_the_second_counts_more(write):
    config = OPENCODE % ("tools", '{"files_*": false}, "permission": {"files_a": "allow"}')
    assert off(write(config), "files", "a", "b") == ["b"]


def useless(path, server):
    """What is said of patterns, if the server has the tools a and b."""
    catalog = Catalog(load([path]).entries[server])
    catalog.learn(TOOLS, [{"name": "a"}, {"name": "b"}])
    return list(catalog.name_problems())


def test_a_pattern_of_opencode_that_fits_no_tool_of_its_server_is_told(write):
    path = write("""{"mcp": {"git": {"type": "local", "command": ["x"]}, "git hub": {"type":
        "local", "command": ["x"]}}, "tools": {"git_a*": false, "git_c": false, "*_b": true,
        "git_hub_d": false, "todo*": false}, "permission": {"git_hub_[e": "deny"}}""")
    assert useless(path, "git") == ['"tools" in its config is for git_c, which fits no tool of it']
    assert useless(path, "git-hub") == [
        '"tools" in its config is for git_hub_d, which fits no tool of it',
        '"permission" in its config is for git_hub_[e, which fits no tool of it']


@pytest.mark.parametrize("said, word", [
    ('"disabledTools": ["c"]', "disabledTools"), ('"enabled_tools": ["c"]', "enabled_tools"),
    ('"toolFilter": {"exclude": ["c"]}', "toolFilter.exclude"), ('"tools": ["c"]', "tools"),
    ('"options": {"toolFilter": {"mode": "block", "list": ["c"]}}', "options.toolFilter.list"),
    ('"tools": {"c": false}', "tools"), ('"tools": {"deny": ["c"]}', "tools.deny")])
def test_a_pattern_that_fits_no_tool_is_told_in_the_word_of_the_file(write, said, word):
    path = write('{"mcpServers": {"s": {"command": "x", %s}}}' % said)
    assert useless(path, "s") == [f'"{word}" in its config is for c, which fits no tool of it']


def test_a_tool_filter_that_is_not_understood_leaves_no_tool_on(write):
    for stated in '{"mode": "some", "list": ["x"]}', '["x"]':
        path = write('{"mcpServers": {"a": {"command": "x", "options": {"toolFilter": %s}}}}'
                     % stated)
        assert "mcpServers.a.options.toolFilter: must be like" in problem_of(path)


def test_what_mcporter_imports_is_told_and_left_alone(write, caplog):
    path = write('{"mcpServers": {"a": {"command": "x"}}, "imports": ["cursor", "codex"]}')
    with caplog.at_level(logging.WARNING, "router"):
        assert list(load([path]).entries) == ["a"]
    assert "x.json: imports: configs of other hosts are not read by themselves" in caplog.text


def test_servers_that_claude_code_has_for_single_folders_are_told(write, caplog):
    words = "projects.*.mcpServers: servers of single folders are not read: copy them"
    projects = '"projects": {"/p": {"allowedTools": [], "mcpServers": {"b": {"command": "y"}}}}'
    assert list(load([write('{"mcpServers": {"a": {"command": "x"}}, %s}' % projects)]).entries) \
        == ["a"] and words in caplog.text
    for text in '{"mcpServers": {}, %s}', '{"numStartups": 5, %s}':
        with pytest.raises(ConfigError, match=re.escape(words)):
            load([write(text % projects)])
    caplog.clear()
    load([write('{"mcpServers": {"a": {"command": "x"}}, "projects": {"p": {"mcpServers": {}}}}')])
    assert caplog.text == ""


@pytest.mark.parametrize("word", ["autoStart", "start_on_launch"])
@pytest.mark.parametrize("value, start", [("false", "first-use"), ("true", None)])
def test_a_server_that_its_host_does_not_start_at_once_starts_at_its_first_use(
        write, word, value, start):
    path = write('{"mcpServers": {"a": {"command": "x", "%s": %s}}}' % (word, value))
    (server,) = dialects.servers(path, parse(path.read_text("utf-8")))
    known = "start" in SCHEMA["$defs"]["server"]["properties"]
    assert server.keys.get("start") == (start if known else None)
    assert problem_of(path) is None


@pytest.mark.parametrize("name", ["config.yaml", "config.yml"])
def test_a_file_in_yaml_is_told_so(write, name):
    with pytest.raises(ConfigError, match=f"{name}: is YAML, as Goose and Continue have it"):
        load([write("extensions:\n  time:\n    cmd: uvx\n", name=name)])


def test_settings_without_servers_are_told_where_hosts_have_them(write):
    settings = json.dumps({f"editor.setting{n}": n for n in range(300)})
    with pytest.raises(ConfigError) as problem:
        load([write(settings, ".vscode", name="settings.json")])
    text = str(problem.value)
    assert 'needs the key "mcpServers", or that of another host: ' in text and len(text) < 900
    assert '"servers" (VS Code)' in text and '"context_servers" (Zed)' in text
    assert text.endswith('"editor.setting9" and 290 more')


def test_what_is_wrong_in_one_server_leaves_the_others_as_they_are(write, monkeypatch):
    """A connector that was not filled in, a number without quotes, what is no server at all."""
    monkeypatch.delenv("NONE_SET", raising=False)
    entries = load([write("""{"mcpServers": {
        "good": {"command": "x", "args": ["a"]}, "empty": {"type": "http", "url": ""},
        "unset": {"url": "https://${NONE_SET}/mcp", "headers": {"X": "Bearer ${NONE_SET}"}},
        "comment": "paste your servers here", "also-good": {"url": "https://y.example/mcp"}}}""")
                    ]).entries
    assert [name for name, entry in entries.items() if entry.problem is None] == [
        "good", "also-good"]
    assert "empty.url: must not be empty" in entries["empty"].problem
    assert "unset.url: the variable NONE_SET" in entries["unset"].problem
    assert "unset.headers.X: the variable NONE_SET" in entries["unset"].problem
    assert "must begin with" not in entries["unset"].problem
    assert "comment: must be an object" in entries["comment"].problem


@pytest.mark.parametrize("host_folder", [".vscode", ".cursor", ".roo", ".kiro/settings"])
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


ENTRY = st.fixed_dictionaries({}, optional={
    key: JSON | good for key, good in {
        "command": st.text() | st.lists(st.text()), "args": st.lists(st.text()),
        "env": st.dictionaries(st.text(), st.text()), "disabled": st.booleans(),
        "timeout": st.integers(), "tools": st.lists(st.text()), "id": st.text(), "name": st.text(),
        **{key: st.text() | st.booleans() | st.integers() | st.lists(st.text()) | st.dictionaries(
            st.sampled_from(["path", "args", "type", "url", "startup", "X"]), st.text())
           for word in (*WORDS, "type", "envFile") for key in word.split(".")}}.items()})
SECTION = st.dictionaries(st.text(max_size=4), JSON | ENTRY, max_size=3) | st.lists(ENTRY)
CONFIG = JSON | st.dictionaries(
    st.sampled_from(["groups", "inputs", "$schema", "x", "mcp", *(
        place for host in HOSTS for place in host.at)]),
    JSON | SECTION | st.fixed_dictionaries({"servers": SECTION}))


@given(CONFIG.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100))
def test_a_config_is_loaded_or_refused_with_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_bytes(data)
    try:
        assert load([path])
    except ConfigError as problem:
        assert str(problem).startswith(str(path)) and len(str(problem)) < 5000


def test_an_env_file_has_more_variables_and_those_of_env_count_first(write, monkeypatch):
    monkeypatch.setenv("BOTH", "of-the-router")
    write("FROM_FILE=file-value\nBOTH=also-in-the-file\nAND=more\n", name="more.env")
    entry = load([write(json.dumps({"mcpServers": {"a": {
        "command": "npx", "envFile": "more.env", "args": ["${BOTH}", "${FROM_FILE}"],
        "env": {"BOTH": "of-the-entry"}}}}))]).entries["a"]
    assert entry.problem is None and entry.args == ("of-the-entry", "file-value")
    assert dict(entry.env) == {"BOTH": "of-the-entry", "FROM_FILE": "file-value", "AND": "more"}
    assert entry.redact("x of-the-entry, file-value") == "x ***, ***"


@pytest.mark.parametrize("name, words", [
    ("none.env", "none.env cannot be read: No such file or directory"),
    ("\0", "cannot be read"), ("pipe", "it is a pipe")])
def test_an_env_file_that_cannot_be_read_is_refused(write, tmp_path, name, words):
    os.mkfifo(tmp_path / "pipe")
    problem = problem_of(write(json.dumps({"mcpServers": {
        "a": {"command": "x", "envFile": name}}})))
    assert "a.envFile: the file" in problem and words in problem


def test_an_env_file_may_be_empty(write):
    path = write(json.dumps({"mcpServers": {
        "a": {"command": "x", "envFile": os.devnull, "env": {"A": "b"}}}}))
    assert load([path]).entries["a"].env == (("A", "b"),)


def test_comments_and_a_comma_at_the_end_are_allowed(write):
    path = write("""{
        // comments, and a comma at the end
        "mcpServers": {
            "one": {"type": "stdio", "command": "x", "args": ["http://a/*b*/", ",]"],}, /* here */
        }
    }""")
    assert load([path]).entries["one"].args == ("http://a/*b*/", ",]")


# -- what hosts say of a login


@pytest.mark.parametrize("stated, means", [
    ({"oauth": {"clientId": "me", "callbackPort": 8080, "scopes": "a b",        # Claude Code
                "authServerMetadataUrl": "https://as.example/meta"}},
     {"clientId": "me", "callbackPort": 8080, "scope": "a b",
      "metadataUrl": "https://as.example/meta"}),
    ({"auth": {"CLIENT_ID": "me", "CLIENT_SECRET": "${TOKEN}", "scopes": ["a", "b"]}},  # Cursor
     {"clientId": "me", "clientSecret": "t0ken-value", "scope": "a b"}),
    ({"oauth": {"enabled": True, "clientId": "me", "clientSecret": "$TOKEN",    # Gemini CLI
                "authorizationUrl": "https://as.example/a", "tokenUrl": "https://as.example/t",
                "scopes": ["a"], "redirectUri": "http://localhost:7777/oauth/callback"}},
     {"clientId": "me", "clientSecret": "t0ken-value", "scope": "a",
      "authorizationUrl": "https://as.example/a", "tokenUrl": "https://as.example/t",
      "redirectUri": "http://localhost:7777/oauth/callback"}),
    ({"oauth": {"enabled": False}}, None),
    ({"oauth": {"enabled": True}}, {}),
    ({"type": "remote", "oauth": {"clientId": "me", "clientSecret": "{env:TOKEN}",      # opencode
                                  "scope": "a"}},
     {"clientId": "me", "clientSecret": "t0ken-value", "scope": "a"}),
    ({"type": "remote", "oauth": False}, None),
    ({"scopes": ["a"], "oauth_resource": "https://far.example"},                # Codex
     {"scope": "a", "resource": "https://far.example"}),
    ({"oauth": {"redirectUri": "127.0.0.1:7778"}},                              # an older Kiro
     {"redirectUri": "http://127.0.0.1:7778/oauth/callback"}),
    ({"oauth": {"redirectUri": "http://localhost:7778/cb"}, "oauthScopes": ["a"]},      # Kiro
     {"redirectUri": "http://localhost:7778/cb", "scope": "a"}),
    ({"auth": "oauth", "oauthScope": "a"}, {"scope": "a"}),                     # mcporter
    ({"oauth": True}, {}), ({}, {}),
])
def test_what_a_host_says_of_a_login_is_ours(write, monkeypatch, caplog, stated, means):
    monkeypatch.setenv("TOKEN", "t0ken-value")
    place = "mcp" if stated.get("type") == "remote" else "mcpServers"
    config = {place: {"far": {"url": "https://far.example/mcp", **stated}}}
    entry = load([write(json.dumps(config))]).entries["far"]
    assert entry.oauth == (None if means is None else tuple(sorted(means.items())))
    assert "ignored keys" not in caplog.text
    assert entry.redact(str(means)) == str(means).replace("t0ken-value", "***")


def test_codex_says_once_where_the_browser_comes_back_to(write):
    path = write(json.dumps({"mcp_oauth_callback_port": 5555, "mcp_servers": {
        "far": {"url": "https://far.example/mcp"}, "near": {"command": "true"}}}))
    assert [entry.oauth for entry in load([path]).entries.values()] == [
        (("callbackPort", 5555),), ()]


@pytest.mark.parametrize("stated, words", [
    ({"oauth": {"scope": "a", "scopes": "b"}}, 'has both "oauth.scope" and "oauth.scopes"'),
    ({"oauth": {"scopes": [1]}}, "oauth.scopes: must be a string"),
    ({"oauth": {"callbackPort": 0}}, "oauth.callbackPort: must be at least 1"),
    ({"oauth": "yes"}, "oauth: must be"),
])
def test_what_is_wrong_about_a_login_is_told_in_the_words_of_the_file(write, stated, words):
    assert words in problem_of(write(json.dumps({"mcpServers": {
        "a": {"url": "https://far.example", **stated}}})))


def test_a_key_that_stands_twice_in_one_server_costs_the_others_nothing(write):
    path = write('{"mcp": {"servers": {"a": {"command": ["x"], "enabled": true, "environment": '
                 '{"B": "1", "B": "2"}}, "b": {"command": "y"}}}}')
    entries = load([path]).entries
    assert entries["a"].problem.endswith(
        "mcp.servers.a.environment.B: stands twice: remove one of the two")
    assert entries["b"].command == "y" and entries["b"].problem is None


@pytest.mark.parametrize("text, key", [
    ('{"servers": {"a": {"command": "x"}, "a": {"command": "y"}, "b": {"command": "z"}}}', "a"),
    ('{"mcp": {"servers": 1, "servers": {"a": {"command": "x"}}}}', "servers"),
    ('{"mcp": {"a": {"type": "local", "command": ["x"]}}, "tools": {"*": false}, "tools": {}}',
     "tools"),
    ('{"mcp": {"a": {"type": "local", "command": ["x"]}}, "tools": {"a": false, "a": true}}',
     "a")])
def test_a_key_that_stands_twice_beside_the_servers_refuses_the_file(write, text, key):
    with pytest.raises(ConfigError, match=f"the key '{key}' stands twice in one object"):
        load([write(text)])
