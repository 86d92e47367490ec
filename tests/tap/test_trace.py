"""--trace FILE: the messages as lines of JSON, over stdio and over HTTP."""

import json
import re
import shutil
import stat
import sys

import pytest

from transports.tap import trace
from transports.tap.tap import KEPT_MESSAGES, tap
from transports.tap.trace import Trace

from by_hand import HELLO, Sse, call
from processes import ROOT, fake

README = (ROOT / "transports" / "tap" / "README.md").read_text("utf-8")


def read(path):
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


@pytest.fixture
def traced(run, config, tmp_path):
    """The lines of a whole run over stdio, with one call and one error; and their file."""
    messages = [HELLO, {"method": "notifications/initialized"},
                call(7, "fake__echo", text="hunter2hunter2"), call(8, "nosuch__echo")]
    path = tmp_path / "trace.jsonl"
    done = run(sys.executable, ROOT / "router.py", "--config",
               config(fake={**fake(), "env": {"PASSWORD": "hunter2hunter2"}}),
               "--trace", path, input="".join(
                   json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages
               ).encode())
    assert done.returncode == 0, done.stderr
    assert b"hunter2hunter2" in done.stdout
    return path


def test_a_call_over_stdio_is_four_lines_with_one_number_and_two_ids(traced):
    assert stat.S_IMODE(traced.stat().st_mode) == 0o600
    lines = read(traced)
    (number,) = {line["call"] for line in lines
                 if line["place"] == "from client" and line["id"] == 7}
    mine = [line for line in lines if line["call"] == number]
    assert [(line["place"], line["kind"], line["method"]) for line in mine] == [
        ("from client", "request", "tools/call"), ("to server", "request", "tools/call"),
        ("from server", "response", "tools/call"), ("to client", "response", "tools/call")]
    first, sent, answer, last = [line["id"] for line in mine]
    assert (first, last) == (7, 7) and sent == answer != 7
    assert len({line["session"] for line in mine}) == 1


def test_secrets_of_the_config_are_not_in_the_file(traced):
    text = traced.read_text()
    assert "hunter2" not in text and '\\"text\\":\\"***\\"' in text


def test_the_commands_in_the_readme_say_what_the_readme_says(traced, run):
    section = README.split("\n## Questions to it\n")[1]
    commands = re.findall(r"^jq .* trace\.jsonl$", section, re.MULTILINE)
    assert len(commands) == 3
    if shutil.which("jq"):
        call_, errors, counts = [
            run("sh", "-c", command, cwd=traced.parent, check=True).stdout.decode().splitlines()
            for command in commands]
    else:
        call_, errors, counts = in_python(read(traced))
    assert [line.split("\t")[0] for line in call_] == [
        "from client", "to server", "from server", "to client"]
    assert {json.loads(line)["method"] for line in errors} >= {"tools/call"}
    assert ["fake", "tools/call", 1] in map(json.loads, counts)


def in_python(lines):
    """The same three as jq would print, where that program is not installed."""
    number = next(line["call"] for line in lines if line["method"] == "tools/call")
    counts = {}
    for line in lines:
        if line["place"] == "from server":
            key = line["server"], line["method"]
            counts[key] = counts.get(key, 0) + 1
    return ([line["place"] for line in lines if line["call"] == number],
            [json.dumps({"method": line["method"]}) for line in lines if line["failed"]],
            [json.dumps([*key, count]) for key, count in counts.items()])


def test_over_http_it_is_the_same(start_router, tmp_path):
    path = tmp_path / "trace.jsonl"
    running = start_router({"fake": fake()}, "--trace", str(path))
    with Sse(running.url) as client:
        client.post(call(7, "fake__echo", text="all"))
        client.get()
    running.stop()
    mine = [line for line in read(path) if line["method"] == "tools/call"]
    assert [line["place"] for line in mine] == [
        "from client", "to server", "from server", "to client"]
    assert len({line["call"] for line in mine}) == 1


def test_with_connect_it_shows_what_is_passed_on(start_router, run, tmp_path):
    path, token = tmp_path / "trace.jsonl", tmp_path / "token"
    token.write_text("hunter2hunter2")
    url = start_router({"fake": fake()}, "--token-file", str(token)).url + "/mcp"
    messages = [HELLO, {"method": "notifications/initialized"},
                call(7, "fake__echo", text="hunter2hunter2")]
    done = run(sys.executable, ROOT / "router.py", "--connect", url, "--token-file", token,
               "--trace", path, input="".join(
                   json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages
               ).encode())
    assert done.returncode == 0, done.stderr
    mine = [line for line in read(path) if line["method"] == "tools/call"]
    assert [(line["place"], line["id"], line["server"]) for line in mine] == [
        ("from client", 7, None), ("to server", 7, url), ("from server", 7, url),
        ("to client", 7, None)]
    assert len({line["call"] for line in mine}) == len({line["session"] for line in mine}) == 1
    assert "hunter2" not in path.read_text()


@pytest.mark.parametrize("where", [".", "nosuch/trace.jsonl", "/dev/null"])
def test_a_file_that_cannot_be_written_is_told_at_the_start(where, run, config, tmp_path):
    done = run(sys.executable, ROOT / "router.py", "--config", config(fake=fake()), "--trace",
               tmp_path / where)
    assert done.returncode == 2
    assert f"router.py: --trace {tmp_path / where}: ".encode() in done.stderr


@pytest.mark.parametrize("name", ["trace", "trace.1"])
@pytest.mark.parametrize("text", ['{"mcpServers": {}}', "{", "secret", " "])
def test_a_file_that_is_no_trace_stays_as_it_is(run, config, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / name).chmod(0o644)
    done = run(sys.executable, ROOT / "router.py", "--config", config(fake=fake()), "--trace",
               tmp_path / "trace", input=b"")
    assert done.returncode == 2
    assert f"--trace {tmp_path / name}: is there already, and is no trace".encode() in done.stderr
    assert (tmp_path / name).read_text() == text
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644


def test_the_config_is_no_trace(run, config):
    path = config(fake=fake())
    done = run(sys.executable, ROOT / "router.py", "--config", path, "--trace", path, input=b"")
    assert done.returncode == 2 and b"is no trace" in done.stderr


@pytest.mark.parametrize("line", ["", '{"missed":3}\n', None])
def test_a_trace_goes_on_where_one_ended(tmp_path, line):
    path = tmp_path / "trace.jsonl"
    if line is not None:
        path.write_text(line)
    for _ in range(2):
        written = Trace(str(path))
        say(1)
        written.close()
    numbers = [line.get("n") for line in read(path)]
    assert len(numbers) >= 2 and numbers[-1] is not None


def say(count):
    for n in range(count):
        message = {"jsonrpc": "2.0", "method": "test", "params": {"number": n}}
        tap.to_client("session a", message, json.dumps(message).encode())


def test_a_full_file_makes_room_for_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "MOST_BYTES", 1)
    path = tmp_path / "trace.jsonl"
    written = Trace(str(path))
    say(3)
    written.close()
    assert (tmp_path / "trace.jsonl.1").exists() and path.read_bytes() == b""
    assert [json.loads(line["text"])["params"]["number"]
            for line in read(tmp_path / "trace.jsonl.1")] == [0, 1, 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_not_written_in_time_is_counted(tmp_path):
    path = tmp_path / "trace.jsonl"
    written = Trace(str(path))
    say(3 * KEPT_MESSAGES)
    written.close()
    lines = read(path)
    missed = sum(line["missed"] for line in lines if "missed" in line)
    written = sum("n" in line for line in lines)
    assert KEPT_MESSAGES <= written and missed + written == 3 * KEPT_MESSAGES
