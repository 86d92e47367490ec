"""upstreams/connections/: real child processes, good and bad."""

import json
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading

import pytest

from transports.fabric.messages import request
from transports.fabric.peers import StartFailed
from transports.fabric.text import printable
from transports.program.clock import Clock
from upstreams.config.entries import Entry
from upstreams.connections.process import process as process_module
from upstreams.connections.process.guardian import Guardian
from upstreams.connections.process.process import Process
from upstreams.routing.router import Router
from upstreams.sharing.pool import Pool

import processes
from by_hand import HELLO
from processes import FAKE_SERVER, children, wait_until


@pytest.fixture
def make(monkeypatch):
    """make(mode) makes the connection of a fake server, not started yet."""
    monkeypatch.setattr(process_module, "GRACE", 0.3)
    clock, guardian, made = Clock(), Guardian(), []
    clock.start()

    def make_it(mode="", command=FAKE_SERVER[0], args=None, longest=2**26, **more):
        entry = Entry("fake", command, tuple(args or [*FAKE_SERVER[1:], mode]), **more)
        made.append(Process(entry, "fake", clock, guardian, longest))
        return made[-1]
    yield make_it
    for process in made:
        process.close()
    for process in made:
        assert process.join(60)
    clock.close()
    guardian.close()


@pytest.fixture
def start(make):
    """start(mode) starts the fake server; its messages and its end come out of `.said`."""
    def start_it(*mode, **more):
        process = make(*mode, **more)
        process.said = queue.SimpleQueue()
        process.start(process.said.put, lambda reason: process.said.put(("closed", reason)))
        return process
    return start_it


def call(name, id=1, **arguments):
    return {**request("tools/call", {"name": name, "arguments": arguments}), "id": id}


def says(process):
    return process.said.get(timeout=60)


def test_a_message_goes_there_and_back(start):
    process = start()
    process.send(call("echo", text="ü\u2028\ud83d"))
    assert says(process)["result"]["content"][0]["text"] == "ü\u2028\ud83d"


def test_it_ends_when_its_input_does_and_that_is_reported_once(start):
    process = start()
    process.close()
    assert says(process) == ("closed", "exited with status 0")
    assert process.join(60) and process.said.empty()


def test_a_server_that_ignores_the_end_of_input_and_sigterm_is_killed(start):
    process = start("stubborn")
    process.send(call("echo"))
    says(process)
    process.close()
    assert says(process) == ("closed", "was ended by SIGKILL")


@pytest.mark.parametrize("role", ["reader", "writer", "stderr", "exit"])
def test_of_a_process_whose_threads_cannot_be_started_nothing_is_left(
        start, make, monkeypatch, role):
    really_start = threading.Thread.start

    def start_thread(thread):
        if thread.name == f"fake-{role}":
            raise RuntimeError("can't start new thread")
        really_start(thread)
    start()  # which starts the guardian process too
    open_files = os.listdir("/proc/self/fd")
    monkeypatch.setattr(threading.Thread, "start", start_thread)
    process = make("stubborn")
    with pytest.raises(StartFailed, match="its threads could not be started: can't start"):
        process.start(lambda message: None, lambda reason: None)
    process.close()
    assert process.join(0)
    with pytest.raises(ChildProcessError):  # it has ended, and has been waited for
        os.waitpid(process.pid, os.WNOHANG)
    assert os.listdir("/proc/self/fd") == open_files


def test_a_server_that_ends_by_a_signal_without_a_name_is_reported(start):
    process = start(command=sys.executable, args=["-c", "import os; os.kill(os.getpid(), 37)"])
    assert says(process) == ("closed", "was ended by signal 37")


def test_the_end_is_seen_though_whoever_started_us_ignores_the_ends_of_children(start):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system keeps no status then
    try:
        process = start()
        process.close()
        assert says(process) == ("closed", "exited with status 0")
        assert process.join(60)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_bug_in_what_hears_of_the_end_does_not_stop_the_end(make, caplog):
    process, answers = make("family"), queue.SimpleQueue()
    process.start(answers.put, lambda reason: 2.0 ** 5000)
    process.send(call("echo"))
    answers.get(timeout=60)
    process.close()
    assert process.join(60)  # after which the family must be gone too, as after every test
    assert "OverflowError" in caplog.text


# thread → the pipe, and what of it fails
FAILS = {"reader": ("stdout", "readline"), "stderr": ("stderr", "read1"),
         "writer": ("stdin", "write")}


@pytest.fixture
def break_thread(monkeypatch):
    """break_thread(role): from now on what this thread calls next fails."""
    broken = set()

    def fails_in(role, really):
        def call(*arguments):
            found = really(*arguments) if role != "exit" or role not in broken else b""
            if role in broken:
                raise MemoryError("nothing left")
            return found
        return call

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **more):
            super().__init__(*arguments, **more)
            for role, (end, name) in FAILS.items() if self.stderr else ():     # no guardian
                pipe = getattr(self, end)
                setattr(pipe, name, fails_in(role, getattr(pipe, name)))
    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(os, "waitid", fails_in("exit", os.waitid))
    return broken.add


DISTURB = {     # what makes the thread go on
    "reader": ("say", {"line": "x"}), "stderr": ("crash", {}), "exit": ("crash", {}),
    "writer": ("echo", {"text": "x" * 10_000})}     # more than a sender writes at once


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("role", DISTURB)
def test_an_error_that_ends_one_of_its_threads_ends_the_connection(start, break_thread, role):
    process = start()
    process.send(call("echo"))
    assert says(process)["result"]
    break_thread(role)
    name, arguments = DISTURB[role]
    process.send(call(name, 2, **arguments))
    while not isinstance(found := says(process), tuple):
        assert found["id"] == 2
    told = {"exit": "has ended", "stderr": "exited with status 7"}  # the server crashed, too
    assert found in (("closed", "was cut off by a bug in the router"), ("closed", told.get(role)))
    assert process.join(60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("role", ["reader", "writer"])
def test_the_calls_of_such_a_connection_fail_at_once_and_name_the_server(
        make, break_thread, role):
    process = make(prefix="fake__", restart_attempts=0)
    pool = Pool({"fake": process.entry}, lambda entry, label: process, process._clock,
                {"name": "router", "version": "0"})
    pool.start()
    router = Router(pool, process._clock)
    session, answers = router.open("test"), []

    def says(*messages, until):
        for message in messages:
            router.handle(session, {"jsonrpc": "2.0", **message}, session.outbox)
        while until not in (found := {one.get("id"): one for one in answers}):
            answers.extend(map(json.loads, session.outbox.get(5)))
        return found[until]
    assert says(HELLO, until=1)["result"]
    assert says(call("fake__echo", 2), until=2)["result"]
    break_thread(role)
    name, arguments = DISTURB[role]
    failed = says(call("fake__wait", 3), call(f"fake__{name}", 4, **arguments), until=3)
    assert failed["error"]["message"] == (
        'server "fake" is not running: was cut off by a bug in the router')
    router.leave(session)
    pool.close()


def test_no_group_is_signalled_after_its_number_may_be_that_of_another(start, monkeypatch):
    signalled = queue.SimpleQueue()

    def signal_group(group, number):
        try:  # an error if the process has been reaped
            os.waitid(os.P_PID, group, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            signalled.put("ours")
        except ChildProcessError:
            signalled.put("may be another's")
        return really_signal_group(group, number)
    really_signal_group = process_module.signal_group
    monkeypatch.setattr(process_module, "signal_group", signal_group)
    process = start("family")
    process.send(call("crash"))
    assert says(process)[0] == "closed"
    assert process.join(60)
    assert {signalled.get(timeout=60) for _ in range(2)} == {"ours"}  # SIGTERM, then SIGKILL
    process.kill()
    assert signalled.empty()


def test_children_of_a_server_end_with_it_though_they_hold_its_pipes(start):
    process = start("family")
    process.send(call("echo"))
    says(process)
    process.close()
    assert says(process)[1] == "exited with status 0"
    assert process.join(60)


def test_a_crash_is_reported_at_once_though_a_child_holds_the_pipes(start):
    process = start("family")
    process.send(call("crash"))
    assert says(process) == ("closed", "exited with status 7: crashing as told")


def test_the_last_line_of_stderr_says_why(start):
    assert says(start("dies")) == (
        "closed", "exited with status 1: this server was told to die")


def test_what_it_said_before_a_signal_ended_it_is_not_told_as_the_reason(start):
    process = start(command="sh", args=["-c", "echo ready >&2; kill -9 $$"])
    assert says(process) == ("closed", "was ended by SIGKILL; it last said: ready")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say it")
@pytest.mark.parametrize("reads, unread", [("", True), ("read line; ", False)])
def test_whether_it_read_what_it_was_asked_is_known_when_it_has_ended(start, reads, unread):
    process = start(command="sh", args=["-c", f"sleep 0.1; {reads}exit 3"])
    process.send(call("echo"))
    assert says(process) == ("closed", "exited with status 3")
    assert process.unread is unread


def test_rubbish_on_stdout_is_skipped_and_logged(start, caplog):
    with caplog.at_level(logging.WARNING, "router"):
        process = start("rubbish")
        process.send(call("echo", text="fine"))
        said = [says(process) for _ in range(4)]
    # What is JSON comes through, to be judged by the Upstream; the rest is skipped.
    assert said[0] == [] and said[1] == {"jsonrpc": "2.0"} and said[2]["id"] == 999
    assert said[3]["result"]["content"][0]["text"] == "fine"
    assert "Hello!" in caplog.messages[0]
    assert "Hello!" in process.last_lines()[0]  # where one looks if a server does not start


SAYS_SKIPPED = r"exited with status 3: skipped a line of its output: %s \(not JSON: .*\)"


@pytest.mark.parametrize("program, reason", [
    ("print('Welcome!'); print('{}'); exit(3)", "exited with status 3"),
    ("print('Welcome!'); print('{}'); print('No key!'); exit(3)", SAYS_SKIPPED % "No key!"),
    ("print('Welcome!'); print('No key!'); exit(3)", SAYS_SKIPPED % "No key!"),
])
def test_only_what_was_printed_last_can_be_the_reason_of_an_end(start, program, reason):
    process = start(command=sys.executable, args=["-c", program])
    while (said := says(process)) == {}:
        pass
    assert re.fullmatch(reason, said[1])


def test_a_line_that_was_skipped_long_ago_is_not_the_reason_of_an_end(start, monkeypatch):
    monkeypatch.setattr(process_module, "RECENT", -1)
    process = start(command=sys.executable, args=["-c", "print('Welcome!'); exit(3)"])
    assert says(process) == ("closed", "exited with status 3")


def test_that_the_guardian_is_gone_is_said_once(caplog):
    guardian = Guardian()
    guardian.tell(2**22 + 1)    # no process can have this number
    guardian._process.kill()
    guardian._process.wait()
    for number in range(3):
        guardian.tell(-number - 1)
    guardian.close()
    assert [text.split(":")[0] for text in caplog.messages] == ["the guardian process is gone"]


def test_of_many_lines_that_are_skipped_only_a_few_are_told(start, caplog):
    process = start(command=sys.executable, args=["-c", "print('no {\"J\": 1}\\n' * 250)"])
    assert says(process) == ("closed", "exited with status 0: skipped a line of its output: "
                             'no {"J": 1} (not JSON: Expecting value: line 1 column 1 (char 0))')
    assert 5 <= len(caplog.messages) <= 10      # five a second
    assert all(": skipped " in text for text in caplog.messages)


def test_each_of_a_few_lines_that_are_skipped_is_told_and_then_how_many_others_there_were(
        start, caplog):
    process = start(command=sys.executable, args=["-uc", (
        "import time\nfor n in range(25): print(f'garbage {n}')\ntime.sleep(1.2); print('late')")])
    assert "garbage 24" not in says(process)[1]
    told = [text.partition(": ")[2] for text in caplog.messages]
    assert [text.split(" (")[0] for text in told] == [
        *[f"skipped a line of its output: garbage {n}" for n in range(5)],
        "skipped 21 lines of its output: late"]


@pytest.mark.parametrize("before", ["\ufeff", "Loading…", "10 %\r 90 %\r"])
def test_a_message_is_understood_though_something_stands_before_it(start, caplog, before):
    process = start()
    process.send(call("say", line=before + '{"jsonrpc":"2.0","id":41,"result":{"a":1}}'))
    assert says(process) == {"jsonrpc": "2.0", "id": 41, "result": {"a": 1}}


@pytest.mark.parametrize("line, ids", [
    ('{"jsonrpc":"2.0","id":41,"result":{}}\x1b[0m', [41]),
    ('{"jsonrpc":"2.0","id":41,"result":{}} ok', [41]),
    ('\x1b[32m' '{"jsonrpc":"2.0","id":41,"result":{}}{"jsonrpc":"2.0","id":42,"result":{}}',
     [41, 42]),
])
def test_all_messages_of_a_line_are_understood(start, line, ids):
    process = start()
    process.send(call("say", line=line))
    assert [says(process)["id"] for _ in ids] == ids


def test_a_question_on_stderr_has_no_line_end_and_is_shown_as_the_last_line(start):
    ask = "import sys; sys.stderr.write('Proceed? [y/N] '); sys.stderr.flush(); sys.stdin.read()"
    process = start(command=sys.executable, args=["-c", ask])
    assert wait_until(lambda: process.last_lines() == ["Proceed? [y/N]"])


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
    ('{"jsonrpc":"2.0","result":{"x":NaN},"id":43,"z":0}', 43),
    ('{"jsonrpc":"2.0","result":{"id":5,"x":NaN},"id":43,"z":0}', None),    # it may be either
    ('"jsonrpc": "2.0",', None),    # of one that is printed over several lines
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


def test_a_script_that_does_not_say_what_runs_it_is_told_how_to(start, tmp_path):
    script = tmp_path / "server"
    script.write_text("echo hello")
    script.chmod(0o700)
    with pytest.raises(StartFailed, match="could not be started: Exec format error: it must be a "
                                          "program for this machine, or begin with a line as #!/"):
        start(command=str(script), args=[])


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


@pytest.mark.parametrize("stream, character, before, after", [
    ("stdout", "x", 70, 0),         # a line that is no message
    ("stdout", "x", 70, 2**20),     # one that is too long, too
    ("stdout", "€", 70, 2**20),
    ("stdout", "x", 195, 2**20),
    ("stderr", "x", 2**16 - 10, 0),
    ("stderr", "x", 3990, 0),
])
def test_no_part_of_a_secret_is_shown_where_a_line_is_cut(
        start, caplog, stream, character, before, after):
    write = (f"import os, sys; sys.{stream}.write({character!r} * {before} + os.environ['KEY']"
             f" + {character!r} * {after} + '\\n')")
    with caplog.at_level(logging.DEBUG, "router"):
        process = start(command=sys.executable, args=["-c", write], longest=2**20,
                        env=(("KEY", "A-s3cret-that-is-cut"),), secrets=("A-s3cret-that-is-cut",))
        reason = says(process)[1]
    assert character * 70 in caplog.text
    for text in (caplog.text, reason, *process.last_lines()):
        assert not re.search("A-|s3cret|cut", text)


def test_each_line_of_stderr_is_shown_up_to_a_limit(start):
    write = "import sys; sys.stderr.write('x' * 2**20 + '\\nlast\\n')"
    process = start(command=sys.executable, args=["-c", write])
    assert says(process) == ("closed", "exited with status 0: last")
    assert process.last_lines() == ["x" * 4000 + "…", "last"]


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
    'DEBUG sends {"jsonrpc":"2.0","id":41,"result":[1e999]}',
])
def test_a_log_line_on_stdout_is_not_taken_for_an_answer(start, line):
    process = start()
    process.send(call("say", line=line))
    said = [says(process), says(process)] if "e999" not in line else [says(process)]
    assert not any("error" in message for message in said)
    assert said[-1]["result"]
