"""upstreams/connections/: real child processes, good and bad."""

import logging
import queue
import signal
import sys
import threading

import pytest

from transports.fabric.messages import request
from transports.program.clock import Clock
from upstreams.config.entries import Entry
from upstreams.connections import process as process_module
from upstreams.connections.guardian import Guardian
from upstreams.connections.process import Process, StartFailed, printable

import processes
from processes import FAKE_SERVER, children, wait_until


@pytest.fixture
def start(monkeypatch):
    """start(mode) starts the fake server; its messages and its end come out of `.said`."""
    monkeypatch.setattr(process_module, "GRACE", 0.3)
    clock, guardian, started = Clock(), Guardian(), []
    clock.start()

    def start_it(mode="", command=FAKE_SERVER[0], args=None, longest=2**26, **more):
        entry = Entry("fake", command, tuple(args or [*FAKE_SERVER[1:], mode]), **more)
        process = Process(entry, "fake", clock, guardian, longest)
        process.said = queue.SimpleQueue()
        process.start(process.said.put, lambda reason: process.said.put(("closed", reason)))
        started.append(process)
        return process
    yield start_it
    for process in started:
        process.close()
    for process in started:
        assert process.join(5)
    clock.close()
    guardian.close()


def call(name, id=1, **arguments):
    return {**request("tools/call", {"name": name, "arguments": arguments}), "id": id}


def says(process):
    return process.said.get(timeout=5)


def test_a_message_goes_there_and_back(start):
    process = start()
    process.send(call("echo", text="ü\u2028\ud83d"))
    assert says(process)["result"]["content"][0]["text"] == "ü\u2028\ud83d"


def test_it_ends_when_its_input_does_and_that_is_reported_once(start):
    process = start()
    process.close()
    assert says(process) == ("closed", "exited with status 0")
    assert process.join(5) and process.said.empty()


def test_a_server_that_ignores_the_end_of_input_and_sigterm_is_killed(start):
    process = start("stubborn")
    process.send(call("echo"))
    says(process)
    process.close()
    assert says(process) == ("closed", "was ended by SIGKILL")


def test_children_of_a_server_end_with_it_though_they_hold_its_pipes(start):
    process = start("family")
    process.send(call("echo"))
    says(process)
    process.close()
    assert says(process)[1] == "exited with status 0"
    assert process.join(5)


def test_a_crash_is_reported_at_once_though_a_child_holds_the_pipes(start):
    process = start("family")
    process.send(call("crash"))
    assert says(process) == ("closed", "exited with status 7: crashing as told")


def test_the_last_line_of_stderr_says_why(start):
    assert says(start("dies")) == (
        "closed", "exited with status 1: this server was told to die")


def test_rubbish_on_stdout_is_skipped_and_logged(start, caplog):
    with caplog.at_level(logging.WARNING, "router"):
        process = start("rubbish")
        process.send(call("echo", text="fine"))
        said = [says(process) for _ in range(4)]
    # What is JSON comes through, to be judged by the Upstream; the rest is skipped.
    assert said[0] == [] and said[1] == {"jsonrpc": "2.0"} and said[2]["id"] == 999
    assert said[3]["result"]["content"][0]["text"] == "fine"
    assert caplog.text.count("skipped a line") == 3
    assert "Hello!" in caplog.text and "\\xff" not in caplog.messages[0]


def test_a_line_of_5_mb_passes_and_one_over_the_limit_fails_one_call_only(start):
    process = start()
    process.send(call("big", bytes=5 * 2**20))
    assert len(says(process)["result"]["content"][0]["text"]) == 5 * 2**20
    other = start(longest=2**20)
    other.send(call("big", id=7, bytes=2**21))
    answer = says(other)
    assert answer["id"] == 7 and "longer than 1048576 bytes" in answer["error"]["message"]
    other.send(call("echo", text="still here"))
    assert says(other)["result"]["content"][0]["text"] == "still here"


@pytest.mark.parametrize("line, id", [
    ('{"jsonrpc":"2.0","id":41,"result":[1e999]}', 41),
    ('{"result":{"id":5,"x":NaN},"jsonrpc":"2.0","id":42}', 42),
])
def test_an_answer_that_cannot_be_passed_on_fails_the_call_that_waits_for_it(start, line, id):
    process = start()
    process.send(call("say", line=line))
    answer = says(process)
    assert answer["id"] == id and 'server "fake" sent an answer' in answer["error"]["message"]


def test_a_server_that_never_reads_blocks_no_sender_and_can_be_ended(start):
    process = start("deaf")
    for _ in range(100):
        process.send(call("echo", text="x" * 100_000))  # far more than a pipe holds
    process.close()
    assert says(process)[0] == "closed"


def test_a_server_that_is_too_far_behind_with_reading_is_killed(start, monkeypatch):
    monkeypatch.setattr("transports.fabric.outbox.MAX_BEHIND_BYTES", 2**20)
    process = start("deaf")
    for _ in range(100):
        process.send(call("echo", text="x" * 100_000))
    assert says(process) == ("closed", "was ended by SIGKILL")


@pytest.mark.parametrize("more, words", [
    ({"command": "no-such-command"}, r'"no-such-command" was not found .*; searched PATH='),
    ({"command": "/etc/passwd"}, r'"/etc/passwd" was not found or may not be run; it is a path'),
    ({"cwd": "/no/such/folder"}, r'the working directory "/no/such/folder" does not exist'),
    ({"args": ["\0"]}, "could not be started: embedded null byte"),
])
def test_the_error_of_a_failed_start_says_why_and_what_was_tried(start, more, words):
    with pytest.raises(StartFailed, match=words):
        start(**more)


def test_the_server_gets_our_environment_and_its_env(start, monkeypatch):
    monkeypatch.setenv("FROM_US", "yes")
    show = "import os, sys; print(os.environ['FROM_US'], os.environ['ITS'], file=sys.stderr)"
    process = start(command=sys.executable, args=["-c", show], env=(("ITS", "own"),))
    assert says(process) == ("closed", "exited with status 0: yes own")


def test_secrets_are_not_in_the_log_nor_in_the_reason(start, caplog):
    show = "import os, sys; sys.exit('key is ' + os.environ['KEY'])"
    with caplog.at_level(logging.DEBUG, "router"):
        process = start(command=sys.executable, args=["-c", show], env=(("KEY", "s3cret-key"),),
                        secrets=("s3cret-key",))
        assert says(process) == ("closed", "exited with status 1: key is ***")
    assert "s3cret-key" not in caplog.text


def test_text_from_outside_cannot_forge_a_line_of_the_log():
    assert "\n" not in printable("a\nERROR fake") and "\x1b" not in printable("\x1b[2J")


def test_the_guardian_ends_what_a_killed_router_leaves(start_router):
    running = start_router({"stubborn": processes.fake("stubborn"),
                            "family": processes.fake("family")})
    left = children(running.process.pid)
    assert len(left) >= 4  # two servers, one child, the guardian
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    assert wait_until(lambda: not left & set(processes.processes()), 10)


def test_every_thread_has_a_name_that_says_whose_it_is(start):
    start()
    names = {thread.name for thread in threading.enumerate()}
    assert {"clock", "fake-reader", "fake-writer", "fake-stderr", "fake-exit"} <= names


@pytest.mark.parametrize("line", [
    '{"level":30,"msg":"row saved","id":41}',
    '{"id":41,"level":"info"}',
    '{"jsonrpc":"2.0","id":41,"method":"roots/list","params":[1e999]}',
])
def test_a_log_line_on_stdout_is_not_taken_for_an_answer(start, line):
    process = start()
    process.send(call("say", line=line))
    said = [says(process), says(process)] if "e999" not in line else [says(process)]
    assert not any("error" in message for message in said)
    assert said[-1]["result"]
