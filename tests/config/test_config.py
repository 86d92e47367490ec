"""upstreams/config/: our own format: what is accepted, what is refused, and in which words."""

import json
import logging
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstreams.config.checking import LONGEST_PREFIX, SCHEMA
from upstreams.config.entries import OurFormat, load
from upstreams.config.reading import ConfigError

from json_values import JSON
from processes import ROOT


@pytest.fixture
def write(tmp_path):
    """write(config) returns the path of a file with it; a str is written as it is."""
    def write_it(config):
        path = tmp_path / "config.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
        return path
    return write_it


def servers(**entries):
    return {"mcpServers": entries}


def entries_of(path):
    return load([path]).entries


def refusal(path):
    with pytest.raises(ConfigError) as problem:
        entries_of(path)
    return str(problem.value)


def problem_of(path, name="a"):
    """What is wrong with a server; it has nothing then that could be started."""
    entry = entries_of(path)[name]
    assert (entry.command, entry.url, entry.args, entry.env) == (None, None, (), ())
    return entry.problem


def test_the_smallest_config(write):
    (entry,) = entries_of(write(servers(one={"command": "x"}))).values()
    assert (entry.name, entry.command, entry.args, entry.prefix) == ("one", "x", (), "one__")


def test_relative_paths_are_relative_to_the_config(write, tmp_path):
    entry = entries_of(write(servers(one={"command": "./bin/x", "cwd": "work"})))["one"]
    assert entry.command == str(tmp_path / "bin" / "x")
    assert entry.cwd == str(tmp_path / "work")
    assert entries_of(write(servers(one={"command": "x"})))["one"].cwd == str(tmp_path)


def test_variables_are_expanded_in_command_args_env_and_cwd(write, monkeypatch):
    monkeypatch.setenv("TOKEN", "t0ken")
    monkeypatch.delenv("UNSET", raising=False)
    entry = entries_of(write(servers(one={
        "command": "${TOKEN}",
        "args": ["-${UNSET:-default}-", "${TOKEN}", "$HOME", "${UNSET:-}"],
        "env": {"A": "a${TOKEN}"}, "cwd": "/${TOKEN}"})))["one"]
    assert entry.command == "t0ken"
    assert entry.args == ("-default-", "t0ken", "$HOME", "")
    assert dict(entry.env) == {"A": "at0ken"}
    assert entry.cwd == "/t0ken"


def test_an_unset_variable_is_a_problem_that_names_the_server_and_the_key(write, monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    text = problem_of(write(servers(one={"command": "x", "env": {"KEY": "${UNSET}"}})), "one")
    assert "mcpServers.one.env.KEY: the variable UNSET is not set" in text


def test_what_else_is_in_the_file_does_not_matter_and_unknown_keys_are_told_once(write, caplog):
    with caplog.at_level(logging.WARNING, "router"):
        entries_of(write({"globalShortcut": "", **servers(
            one={"command": "x", "description": "mine", "watched": 1},
            two={"command": "y", "disabled": True, "watched": 1})}))
    assert len(caplog.records) == 1
    assert "mean nothing to this router: mcpServers.one.watched" in caplog.text


def test_what_is_disabled_is_not_started_and_may_be_remote(write):
    config = servers(one={"command": "x"}, two={"command": "y", "disabled": True},
                     three={"url": "http://x", "type": "http", "disabled": True})
    assert list(entries_of(write(config))) == ["one"]


def test_what_is_disabled_is_not_validated(write, monkeypatch, caplog):
    monkeypatch.delenv("UNSET", raising=False)
    path = write({"mcpServers": {"one": {"command": "x"}, "two": {"disabled": True}, "a/b": {
        "disabled": True, "command": 1, "args": "${UNSET}", "prefix": "one", "unknown": 1}}})
    with caplog.at_level(logging.WARNING, "router"):
        assert list(entries_of(path)) == ["one"]
    assert not caplog.records


@pytest.mark.parametrize("config, words", [
    ("", "is empty"),
    ('\ufeff ', "is empty"),
    ("[]", 'must be an object like {"mcpServers": {…}}, not a list'),
    ("null", "not null"),
    ("{", "line 1, column 2"),
    ('{"mcpServers": {\n  "a" 1}}', "line 2, column 7"),
    ('{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', "'a' stands twice"),
    ('{"mcpServers": {}, "mcpServers": {"b": {"command": "y"}}}', "'mcpServers' stands twice"),
    ('{"mcpServers": {"a": {"command": "x"}}, "groups": 1, "groups": {}}',
     "'groups' stands twice"),
    ({}, 'needs the key "mcpServers"'),
    ({"mcpServers": []}, "mcpServers: must be an object"),
    (servers(), "must name at least one server"),
    (servers(a={"command": "x", "disabled": True}), "every server in it is disabled"),
    (servers(a={"command": "x", "timeout": float("nan")}), "not JSON: NaN is no number there"),
    (servers(a={"command": "x", "timeout": float("inf")}), "not JSON: Infinity is no number"),
    ('{"mcpServers": ' + "9" * 5000 + "}", "not JSON: "),
    ('{"mcpServers": {"a": {"command": "C:\\me\\x.exe"}}}',
     "Invalid \\escape: write a backslash as two, or as /"),
    ('{"mcpServers": {"a": {"command": "C:\\users\\x.exe"}}}',
     "escape: write a backslash as two, or as /"),
    ({"mcpservers": {}}, 'top level: needs the key "mcpServers"; unknown to this router: "mcp'),
    ({"mcpServers": {"a/b": {"command": "x"}, "a-b": {"command": "x"}}},
     "mcpServers.a-b: is called a-b here, as is"),
    ({**servers(a={"command": "x"}), "groups": {"b": "a"}}, "groups.b: must be an array"),
    ({**servers(a={"command": "x"}), "groups": {"b": ["c"]}}, 'groups.b: there is no server "c"'),
    ({**servers(a={"command": "x"}), "groups": {"a": ["a"]}}, "groups.a: a server has this name"),
    ({**servers(a={"command": "x"}), "groups": {"a b": ["a"]}}, "groups.a b: is part of a path"),
    ('{"mcpServers": {"a": {"command": "x", "unknown": ' + "[" * 5000 + "]" * 5000 + "}}}",
     "is nested too deeply"),
    (servers(a={"command": "x"}, a__b={"command": "x"}), "could produce the same"),
    (servers(a={"command": "x"}, b={"command": "x", "prefix": "a"}), "could produce the same"),
])
def test_a_config_of_which_nobody_can_say_which_servers_it_means_is_refused(write, config, words):
    assert words in refusal(write(config))


@pytest.mark.parametrize("config, words", [
    (servers(a={}), 'mcpServers.a: needs the key "command"'),
    (servers(a={"command": 1}), "mcpServers.a.command: must be a string"),
    (servers(a={"command": ""}), "mcpServers.a.command: must not be empty"),
    (servers(a={"command": "x", "args": "y"}), "mcpServers.a.args: must be an array"),
    (servers(a={"command": "x", "env": {"K": []}}), "mcpServers.a.env.K: must be a string"),
    (servers(a={"command": "x", "startTimeout": 0}), "startTimeout: must be more than 0"),
    (servers(a={"command": "x", "startTimeout": 1e11}), "startTimeout: must be at most 86400"),
    (servers(a={"command": "x", "timeout": 1e11}), "must be at most 86400000"),
    (servers(a={"command": "x", "timeout": -1}), "timeout: must be at least 0"),
    (servers(a={"command": "x", "restart": {"attempts": 1e300}}), "must be at most 1000000"),
    (servers(a={"command": "x", "restart": {"pause": 61}}), "restart.pause: must be at most 60"),
    (servers(a={"command": "x", "restart": {"healthy": 1e6}}), "must be at most 86400"),
    ('{"mcpServers": {"a": {"command": "x", "timeout": 1e999}}}', "must be at most 86400"),
    (servers(a={"comand": "x", "args": []}),
     'mcpServers.a: needs the key "command", or "url"; unknown to this router: "comand"'),
    (servers(a={"comand": "x", "arg": []}), '; unknown to this router: "comand", "arg"'),
    (servers(a={"command": "x", "disabled": "yes"}), "a.disabled: must be a boolean"),
    (servers(a={"command": "x", "prefix": "ä"}), 'prefix: may have letters, digits, "-"'),
    (servers(a={"command": "x", "tools": {"allow": "y"}}), "a.tools.allow: must be an array"),
    (servers(a={"url": "http://x", "command": "y"}), 'has a "command" and a URL'),
    (servers(a={"type": "http", "command": "x"}), 'a.type: "http" needs the key "url"'),
    (servers(a={"type": "stdio", "url": "http://x"}), 'a.type: "stdio" needs the key "command"'),
    (servers(a={"type": "ws", "url": "ws://x"}), 'a.type: must be one of "stdio", "http", "sse"'),
    (servers(a={"url": "http://x", "oauth": {"client_id": "x", "secret": "y"}}),
     'a.oauth: must not have "client_id", "secret"'),
    ('{"mcpServers": {"a": {"command": "x", "args": [], "args": ["y"]}}}',
     "mcpServers.a.args: stands twice: remove one of the two"),
    ('{"mcpServers": {"a": {"command": "x", "env": {"B": "1", "A": "1", "A": "2", "A": "3"}}}}',
     "mcpServers.a.env.A: stands twice: remove one of the two"),
    ('{"mcpServers": {"a": {"command": "x", "command": 1, "args": 2}}}',
     "mcpServers.a.args: must be an array"),
    (servers(a={"command": "x", "prefix": "a.b"}), 'prefix: may have letters, digits, "-" and'),
    (servers(a={"command": "x", "envFile": "x.env"}), "a.envFile: needs a room of this"),
    (servers(a={"command": "x", "env": {"K": "x${env:K}"}}), "a.env.K: ${env:K} needs a room of"),
    (servers(a={"command": "x", "args": ["${/}"]}), "a.args.0: ${/} needs a room of this program"),
    (servers(a={"command": "x", "env": {"K": "$TOKEN"}}), "a.env.K: $TOKEN needs a room of this"),
    (servers(a={"command": "x", "timeout": 1000}), "a.timeout: 1000 and more, which is in millis"),
    (servers(a={"command": "x", "idle": True}), "a.idle: must be a number of minutes, or false"),
    (servers(a={"command": "x", "idle": "5"}), "a.idle: must be a number of minutes, or false"),
    (servers(a=7), "mcpServers.a: must be an object"),
    (servers(a={"command": "x", "args": ["${A:-" * 500 + "}" * 500]}),
     "a.args.0: has more than 20 defaults within defaults"),
    (servers(a={"command": "x", "prefix": "a\n"}), "prefix: may have letters"),
])
def test_what_is_wrong_in_a_server_is_told_with_where_and_what(write, config, words):
    assert words in problem_of(write(config))


def test_what_no_request_could_be_made_of_is_wrong_in_a_server(write):
    """A room knows that; it is asked once the variables are there, if all of them are."""
    form = OurFormat(check_request=lambda url, headers: [("headers.X", f"{url} {headers}")])
    path = write(servers(a={"url": "${URL:-u}", "headers": {"X": "${X:-x}"}},
                         b={"url": "u", "headers": {"X": "${UNSET_HERE}"}}))
    found = load([path], form=form).entries
    assert found["a"].problem.endswith(".a.headers.X: u {'X': 'x'}")
    assert "UNSET_HERE is not set" in found["b"].problem and "u {" not in found["b"].problem


@pytest.mark.parametrize("key, value, other, words", [
    ("start", "lazy", "now", 'start: must be one of "now", "first-use"'),
    ("idle", "5m", 5, "idle: must be a number of minutes, or false"),
    ("shared", "yes", True, "shared: must be a boolean")])
def test_a_wrong_word_for_all_servers_concerns_those_that_do_not_say_it_themselves(
        write, key, value, other, words):
    path = write({key: value, **servers(a={"command": "x"}, b={"command": "x", key: other})})
    assert problem_of(path).startswith(f"{path}: {words}")
    assert entries_of(path)["b"].problem is None


@pytest.mark.parametrize("groups", [[{"id": "1", "name": "g", "servers": ["a"]}], "g", None])
def test_groups_of_another_kind_are_told_and_ignored(write, caplog, groups):
    config = load([write({**servers(a={"command": "x"}), "groups": groups})])
    assert config.entries["a"].problem is None and config.groups == {}
    assert "config.json: groups: ignored, since groups of this router are like" in caplog.text


def test_one_mistake_neither_hides_another_nor_makes_a_sentence_untrue(write, monkeypatch):
    assert problem_of(write(servers(a={"type": "ws", "command": "x"}))).count("a.type: ") == 1
    monkeypatch.delenv("UNSET", raising=False)
    path = write(servers(a={"command": "x", "args": ["${A}${B}", ["y"], "${UNSET}"],
                            "env": {"A": "x", "B": ["y"], "C": "${UNSET}"}, "oauth": {
                                "scope": 1, "clientId": "${UNSET}"}}))
    unset = "the variable UNSET is not set: set it, or write ${UNSET:-a default}"
    assert {text.removeprefix(f"{path}: mcpServers.a.")
            for text in problem_of(path).split("; ")} == {
        "args.1: must be a string", "env.B: must be a string", "oauth.scope: must be a string",
        f"args.2: {unset}", f"env.C: {unset}", f"oauth.clientId: {unset}"}


def test_all_mistakes_of_a_server_and_all_wrong_servers_are_told(write, monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    entries = entries_of(write(servers(
        good={"command": "x"}, empty={"url": ""},
        many={"command": "x", "timeout": -1, "args": ["${UNSET}", "${A}${UNSET}"],
              "env": {"A": "b"}, "restart": {"pause": 0}, "rename": {"a": "c", "b": "c"}})))
    assert entries["good"].problem is None and entries["good"].command == "x"
    assert entries["empty"].problem.endswith("mcpServers.empty.url: must not be empty")
    for words in ("many.timeout: must be at least 0", "many.args.0: the variable UNSET",
                  "many.args.1: the variable UNSET", "many.restart.pause: must be more than 0",
                  'many.rename: "a" and "b" cannot both'):
        assert words in entries["many"].problem


def test_a_server_that_is_wrong_has_a_name_and_a_prefix_like_any_other(write):
    path = write({**servers(a={"url": "", "prefix": "p"}, b={"url": "", "prefix": "ä"}),
                  "groups": {"both": ["a", "b"]}})
    config = load([path])
    assert [entry.prefix for entry in config.entries.values()] == ["p__", "b__"]
    assert config.groups == {"both": ["a", "b"]}
    assert "could produce the same" in refusal(write(servers(
        a={"url": ""}, b={"command": "x", "prefix": "a"})))


def test_no_value_of_a_wrong_server_is_shown(write, monkeypatch):
    monkeypatch.setenv("KEY", "from-outside")
    monkeypatch.delenv("UNSET", raising=False)
    form = OurFormat(in_clear=lambda keys: {"args.1": keys["args"][1]})     # as a room finds it
    entry = load([write(servers(a={
        "command": "x", "args": ["--token", "hunter22", "${UNSET}"], "timeout": "hunter33",
        "env": {"A": "${KEY}", "B": "${UNSET}"}}))], form=form).entries["a"]
    assert entry.clear == ("args.1",)
    assert not any(value in repr(entry.problem) for value in ("hunter", "from-outside"))
    assert entry.redact("hunter22 from-outside") == "*** ***"


def test_a_variable_may_come_from_the_servers_own_env(write, monkeypatch):
    monkeypatch.setenv("BOTH", "of-the-router")
    monkeypatch.delenv("AUTH_HEADER", raising=False)
    entry = entries_of(write(servers(a={
        "command": "npx",
        "args": ["mcp-remote", "--header", "Authorization:${AUTH_HEADER}", "${BOTH}",
                 "${NONE:-${AUTH_HEADER}}"],
        "env": {"AUTH_HEADER": "Bearer t0ken-value", "BOTH": "of-the-entry"}})))["a"]
    assert entry.problem is None and entry.args == (
        "mcp-remote", "--header", "Authorization:Bearer t0ken-value", "of-the-entry",
        "Bearer t0ken-value")
    assert entry.redact("x t0ken-value, Bearer t0ken-value") == "x ***, ***"


def test_a_variable_of_env_may_name_another_one_and_adds_to_the_routers_own(write, monkeypatch):
    monkeypatch.setenv("SEARCH", "/bin")
    for name in ("A", "B", "C"):
        monkeypatch.delenv(name, raising=False)
    entry = entries_of(write(servers(a={"command": "x", "env": {
        "ALL": "${BASE}/all", "BASE": "/base", "SEARCH": "${SEARCH}:${BASE}"}})))["a"]
    assert dict(entry.env) == {"ALL": "/base/all", "BASE": "/base", "SEARCH": "/bin:/base"}
    assert "env.B: the variable A is made of itself here, and elsewhere not set" in problem_of(
        write(servers(a={"command": "x", "env": {"A": "${B}", "B": "${A}"}})))
    assert "env.A: the variable A is not set: set it, or write ${A:-a default}" in problem_of(
        write(servers(a={"command": "x", "env": {"A": "${A}", "B": "${A}"}})))
    chain = {f"N{n}": f"${{N{n + 1}}}" for n in range(500)}
    assert "more than 20 variables name each other" in problem_of(write(servers(
        a={"command": "x", "env": chain})))
    chain["N20"] = "the end"
    assert entries_of(write(servers(a={"command": "x", "env": dict(
        list(chain.items())[:21])})))["a"].env[0] == ("N0", "the end")


def test_variables_that_double_each_other_come_to_an_end(write):
    env = {"V0": "x" * 10, **{f"V{n}": f"${{V{n - 1}}}${{V{n - 1}}}" for n in range(1, 29)}}
    assert "is longer than 100000 characters" in problem_of(write(servers(
        a={"command": "x", "env": env})))
    assert "a.args.0: is longer than 100000 characters" in problem_of(write(servers(
        a={"command": "x", "env": {"V": "x" * 10_000}, "args": ["${V}" * 2000]})))


@pytest.mark.parametrize("value, sent", [
    ("", False), ("${UNSET:-}", False), ("Bearer ${UNSET:-}", False), ("bearer  ", False),
    ("  ", False), ("Bearer x", True), ("Bearer", True), ("basic", True)])
def test_a_header_without_a_value_is_not_sent(write, monkeypatch, value, sent):
    monkeypatch.delenv("UNSET", raising=False)
    entry = entries_of(write(servers(a={"url": "http://x", "headers": {
        "Authorization": value, "X-Other": "y"}})))["a"]
    assert [name for name, _ in entry.headers] == ["Authorization"] * sent + ["X-Other"]


@pytest.mark.parametrize("keys, same", [
    ({"describe": {"t": "x"}}, True), ({"rename": {"t": "u"}}, True), ({"timeout": 5}, True),
    ({"tools": {"deny": ["t"]}}, True), ({"prefix": "p"}, True), ({"args": ["y"]}, False),
    ({"env": {"A": "b"}}, False), ({"startTimeout": 5}, False), ({"shared": True}, False)])
def test_a_process_can_go_on_if_only_what_clients_see_is_another(write, keys, same):
    before = entries_of(write(servers(a={"command": "x"})))["a"]
    after = entries_of(write(servers(a={"command": "x", **keys})))["a"]
    assert before != after and after.runs_like(before) is same


def test_a_path_of_env_that_comes_to_exist_is_no_change(write, tmp_path):
    """It is a secret before, and none after."""
    path = write(servers(a={"command": "x", "env": {"DATABASE": str(tmp_path / "data.db")}}))
    before = entries_of(path)["a"]
    (tmp_path / "data.db").touch()
    after = entries_of(path)["a"]
    assert before.secrets != after.secrets and before == after


def test_bare_names_may_stand_beside_others(write):
    entries = entries_of(write(servers(a={"command": "x", "prefix": ""}, b={"command": "x"})))
    assert [entry.prefix for entry in entries.values()] == ["", "b__"]


def test_a_missing_config_and_a_directory_are_refused(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "none.json")
    assert "is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_config_in_another_encoding_is_refused_with_what_to_do(tmp_path, encoding):
    path = tmp_path / "config.json"
    path.write_text('{"mcpServers": {"a": {"command": "ü"}}}', encoding)
    assert refusal(path) == f"{path}: cannot be read: it is not UTF-8: save it as UTF-8"


def test_a_number_with_too_many_digits_is_refused_without_advice_to_programmers(write):
    path = write('{"mcpServers": {"a": {"command": "x", "timeout": %s}}}' % ("9" * 6000))
    assert refusal(path) == f"{path}: not JSON: a number has too many digits"


def test_a_config_that_is_named_twice_is_read_once(write, tmp_path):
    path = write(servers(a={"command": "x"}))
    (tmp_path / "link").symlink_to(path)
    config = load([path, tmp_path / "link", path])
    assert [*config.entries] == ["a"] and len(config.files) == 1


def pipe_in(folder):
    """A named pipe that nobody writes to: whoever opens it to read would wait for ever."""
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def test_a_config_that_is_a_pipe_is_refused_and_not_read(tmp_path):
    assert "cannot be read: it is a pipe or a device" in refusal(pipe_in(tmp_path))
    circle = tmp_path / "circle.json"
    circle.symlink_to(circle)
    assert refusal(circle) == f"{circle}: cannot be read: Too many levels of symbolic links"


def test_keys_in_another_order_are_the_same_entry(write):
    def entry_of(*order):
        return entries_of(write(servers(a={"command": "x", **{
            key: {name: f"{name}-secret" for name in order}
            for key in ("env", "headers", "rename")}})))["a"]
    names = [f"NAME_{n}" for n in range(20)]
    assert entry_of(*names) == entry_of(*reversed(names))


def test_a_server_that_needs_a_room_that_was_taken_out_fails(write):
    remote, modern = {"url": "http://x"}, {"command": "x", "protocol": "modern"}
    for server, key in ((remote, "url"), (modern, "protocol"),
                        ({**remote, "oauth": False}, "oauth")):
        assert entries_of(write(servers(a=server)))["a"].problem is None
        (entry,) = load([write(servers(a=server))], form=OurFormat([key])).entries.values()
        assert f"mcpServers.a.{key}: needs a room of this program" in entry.problem


def test_the_value_of_a_bad_key_is_not_repeated(write):
    path = write(servers(a={"command": "x", "env": {"K": ["hunter2"]}}))
    assert "hunter2" not in problem_of(path)


def test_secrets_are_taken_out_of_what_is_shown(write, monkeypatch):
    monkeypatch.setenv("TOKEN", "t0ken-from-outside")
    entry = entries_of(write(servers(one={"command": "x", "args": ["--key=${TOKEN}"],
                                    "env": {"A": "hunter22", "DEBUG": "1"}})))["one"]
    assert entry.redact("1 hunter22 t0ken-from-outside") == "1 *** ***"


def test_each_line_of_a_secret_is_a_secret(write):
    key = "-----BEGIN KEY-----\r\n  MIIEvQIBADAN\nend\n"
    entry = entries_of(write(servers(one={"command": "x", "env": {
        "A": key, "B": key.replace("\r\n", "\\n").replace("MII", "B64")}})))["one"]
    assert entry.redact("MIIEvQIBADAN B64EvQIBADAN end") == "*** *** end"


@pytest.mark.parametrize("text, shown", [
    ("key: hunter22", "key: …"),
    ("key: hunter22-and-more", "key: …"),   # the longer secret begins in the same place
    ("hunter22 is it", "*** i…"),
    ("a hunter22 is it", "a …"),
    ("a text that is cut", "a text tha…"),
    ("not longer", "not longer"),
])
def test_where_a_text_is_cut_no_beginning_of_a_secret_is_left(write, text, shown):
    entry = entries_of(write(servers(one={"command": "x", "env": {
        "A": "hunter22", "B": "hunter22-and-more"}})))["one"]
    assert entry.redact(text, most=10) == shown


def test_start_and_idle_may_be_said_for_all_servers(write):
    plain = {"command": "x"}
    path = write({"start": "first-use", "idle": 5, "mcpServers": {
        "far": {"url": "http://localhost:1"},
        "own": {"url": "http://localhost:1", "idle": 7},
        "plain": plain, "never": {**plain, "idle": False, "start": "now"}}})
    assert {name: (entry.start, entry.idle) for name, entry in entries_of(path).items()} == {
        "far": ("first-use", None), "own": ("first-use", 7),     # which says it itself
        "plain": ("first-use", 5), "never": ("now", 0)}
    (entry,) = entries_of(write(servers(plain=plain))).values()
    assert (entry.start, entry.idle) == ("now", None)


def test_without_the_room_what_rests_is_refused(write):
    without = OurFormat(["start", "idle"])
    for config, where in (({"start": "first-use"}, "start"), ({"idle": 1}, "idle")):
        for whole in ({**config, **servers(a={"command": "x"})},
                      servers(a={"command": "x", **config})):
            (entry,) = load([write(whole)], form=without).entries.values()
            assert f"mcpServers.a.{where}: needs a room" in entry.problem
    now = write(servers(a={"command": "x", "start": "now", "idle": 0}))
    assert load([now], form=without).entries["a"].problem is None


@pytest.mark.parametrize("name, path, prefix", [
    ("Framelink MCP for Figma", "Framelink-MCP-for-Figma", "Framelink-MCP-for-Figma"),
    ("DuckDB (in-memory, r/w)", "DuckDB-in-memory-r-w", "DuckDB-in-memory-r-w"),
    ("awslabs.core-mcp-server", "awslabs.core-mcp-server", "awslabs-core-mcp-server"),
    ("..", "server-5ec1f7e7", "server-5ec1f7e7"), ("mcp", "mcp", "mcp"), ("a.b", "a.b", "a-b"),
    ("github.com/upstash/context7-mcp", "github.com-upstash-context7-mcp",
     "github-com-upstash-context7-mcp"), ("Süd", "Sud", "Sud"),
    ("天气", "server-4d947325", "server-4d947325"),
    ("x" * 41, "x" * 41, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-3164596d"),
    ("x" * 100, "x" * 100, None),
])
def test_a_name_that_cannot_be_part_of_a_path_gets_one_made_from_it(write, name, path, prefix):
    (entry,) = load([write(f'{{"mcpServers": {{"{name}": {{"command": "x"}}}}}}')]
                    ).entries.values()
    assert entry.name == path
    assert len(entry.prefix) <= LONGEST_PREFIX + 2 and entry.prefix.endswith("__")
    assert prefix is None or entry.prefix == f"{prefix}__"


def test_a_default_may_have_variables_and_braces(write, monkeypatch):
    monkeypatch.setenv("SET", "value")
    monkeypatch.delenv("NONE_SET", raising=False)
    (entry,) = load([write('{"mcpServers": {"a": {"command": "x", "args": ["${SET:-${NONE_SET}}", '
                           r'"${NONE_SET:-<${SET}>}", "${NONE_SET:-{\"b\": 1}}", "${1}", "${SET"]'
                           "}}}")]).entries.values()
    assert entry.args == ("value", "<value>", '{"b": 1}', "${1}", "${SET")


def test_a_server_over_http_and_sse_is_not_asked_for_its_era(write):
    entries = entries_of(write(servers(old={"url": "http://x/sse", "type": "sse"},
                                       any={"url": "http://x/mcp"})))
    assert [entry.protocol for entry in entries.values()] == ["legacy", "auto"]


ENTRY = st.fixed_dictionaries({}, optional={
    key: JSON | good for key, good in {
        "command": st.text(), "args": st.lists(st.text()), "cwd": st.text(), "url": st.text(),
        "env": st.dictionaries(st.text(), st.text()), "envFile": st.text(),
        "disabled": st.booleans(), "prefix": st.text(max_size=3), "restart": st.booleans(),
        "timeout": st.integers(), "startTimeout": st.floats(), "shared": st.booleans(),
        "type": st.text(), "headersCommand": st.lists(st.text())}.items()})
CONFIG = JSON | st.dictionaries(
    st.sampled_from(["mcpServers", "groups", "shared", "$schema", "x"]),
    JSON | st.dictionaries(st.text(max_size=4), JSON | ENTRY, max_size=3))


@given(CONFIG.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100))
def test_a_config_is_loaded_or_refused_with_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_bytes(data)
    try:
        assert load([path])
    except ConfigError as problem:
        assert str(problem).startswith(str(path)) and len(str(problem)) < 5000


# -- the page


PAGE = (ROOT / "upstreams" / "config" / "README.md").read_text("utf-8")


def rows(heading):
    """{key: what the second column says} of the table with this heading."""
    table = PAGE.split(f"| {heading} | default |")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `(\S+)` \| (.+?) \| .+ \|$", table, re.MULTILINE))


def test_the_page_explains_every_key_with_its_default():
    assert rows("key of the file").keys() == SCHEMA["properties"].keys()
    properties = SCHEMA["$defs"]["server"]["properties"]
    assert rows("key of a server").keys() == properties.keys()
    for key, default in rows("key of a server").items():
        if default.startswith("`"):
            assert json.loads(default.strip("`")) == properties[key]["default"], key
        else:
            assert "default" not in properties[key], key


def test_the_examples_on_the_page_can_be_used(write, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    examples = re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(examples) == 3 and all(entries_of(write(example)) for example in examples)


def test_the_limits_on_the_page_are_those_of_the_program():
    assert f"at most {LONGEST_PREFIX} characters" in PAGE
    assert SCHEMA["$defs"]["server"]["properties"]["prefix"]["maxLength"] == LONGEST_PREFIX


def test_a_group_has_a_server_that_another_file_disables(tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(servers(time={"command": "x", "disabled": True})))
    two.write_text(json.dumps({**servers(time={"command": "y"}, b={"command": "z"}),
                               "groups": {"desk": ["time", "b"]}}))
    assert load([one, two]).groups == {"desk": ["time", "b"]}


def test_where_programs_are_looked_for_is_no_secret(write):
    entry = entries_of(write(servers(a={"command": "x", "env": {
        "PATH": "/opt/programs:/usr/bin", "KEY": "s3cret-value"}})))["a"]
    assert entry.redact("/opt/programs:/usr/bin s3cret-value") == "/opt/programs:/usr/bin ***"
