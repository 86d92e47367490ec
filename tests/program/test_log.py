"""transports/program/log.py: what is never shown, and that nobody waits for a reader."""

import json
import logging
import os
import signal
import subprocess
import threading

import pytest

from transports.fabric.text import hidden
from transports.program import log as log_module
from transports.program.log import Stderr

from by_hand import HELLO, ROUTER, call, lines
from processes import fake


@pytest.fixture
def pipe(monkeypatch):
    """The descriptor from which to read what goes to stderr."""
    read, write = os.pipe()
    monkeypatch.setattr(log_module, "STDERR", write)
    yield read
    os.close(read)
    os.close(write)


def record(text, *arguments):
    return logging.makeLogRecord({"msg": text, "args": arguments, "levelname": "INFO"})


def test_secrets_and_control_characters_reach_no_line_wherever_they_come_from(pipe):
    stderr = Stderr()
    hidden.add(["hunter2", "hunter2-and-more"])
    stderr.handle(record("a: method %s", "x\x1b[31m\nfake line hunter2-and-more"))
    stderr.show("a table\nwith hunter2 in it")
    first, *table = os.read(pipe, 10_000).decode().splitlines()
    assert first.endswith(r"a: method x\x1b[31m\x0afake line ***")
    assert table == ["a table", "with *** in it"]


def test_an_error_that_ends_a_thread_is_a_clean_line_of_the_log(pipe, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_settings: None)
    stderr = Stderr()
    hidden.add(["hunter2"])
    stderr.begin_log("info")
    logging.getLogger("router").addHandler(stderr)
    thread = threading.Thread(target=lambda: int("hunter2"), name="time-reader")
    thread.start()
    thread.join()
    logging.getLogger("router").removeHandler(stderr)
    written = os.read(pipe, 10_000).decode()
    assert "ERROR [time-reader] a bug in the router has ended this thread" in written
    assert "invalid literal for int() with base 10: '***'" in written and "hunter2" not in written


@pytest.mark.parametrize("secret", [
    "two\nlines", 'quo"te', "apo'strophe", "back\\slash", "ümlaut"])
@pytest.mark.parametrize("show", [str, repr, json.dumps, lambda text: repr(text + "'\"")])
def test_a_secret_is_hidden_in_its_escaped_forms_as_well(pipe, secret, show):
    stderr = Stderr()
    hidden.add([secret])
    stderr.handle(record("bad: %s", show(f"<{secret}>")))
    assert "<***>" in os.read(pipe, 10_000).decode()


def test_a_window_gets_the_encoding_that_it_has(pipe, monkeypatch):
    monkeypatch.setattr(os, "device_encoding", lambda _number: "cp437")
    Stderr().show("née €")
    assert os.read(pipe, 100) == b"n\x82e \\u20ac\n"


def test_lines_that_nobody_reads_are_dropped_and_counted(pipe):
    stderr = Stderr()
    for number in range(10_000):
        stderr.show(f"line {number} " + "x" * 100)
    written = b""
    while not written.endswith(b"last\n"):
        written += os.read(pipe, 2**20)
        stderr.show("last")
    whole = [line for line in written.split(b"\n") if line.endswith(b"x" * 100)]
    assert whole == [b"line %d " % number + b"x" * 100 for number in range(len(whole))]
    assert b"\n(%d lines were dropped here" % (10_000 - len(whole)) in written


def test_a_line_that_was_cut_off_ends_before_the_next_whatever_was_dropped_meanwhile(
        pipe, monkeypatch):
    takes = iter([True, False, False, True, True])  # a part of the first, nothing of the second
    monkeypatch.setattr(log_module, "_is_ready", lambda: next(takes))
    stderr = Stderr()
    stderr.show("x" * log_module.CHUNK)
    stderr.show("dropped")
    stderr.show("last")
    *_, note, last = os.read(pipe, 10**6).splitlines()
    assert note.startswith(b"(2 lines were dropped here") and last == b"last"


def test_a_router_whose_stderr_nobody_reads_ends_when_it_is_told_to(config):
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake()), "--log-level", "debug"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as router:
        noise = [call(n, "x" * 200) for n in range(2, 1000)]
        unknown = [{"id": f"a{n}", "result": {}} for n in range(2000)]  # a line of debug each
        reader = threading.Thread(target=router.stdout.read)
        reader.start()
        router.stdin.write(lines(HELLO, *noise, *unknown))
        router.stdin.flush()
        router.send_signal(signal.SIGTERM)
        assert router.wait(30) == 0
        reader.join()


@pytest.mark.parametrize("how", [lambda: os.close(2), None], ids=["by us", "by its reader"])
def test_a_closed_stderr_delays_nothing(config, how):
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake())], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=how) as router:
        router.stderr.close()
        router.stdin.write(lines({"id": 0, "method": "ping"}))
        router.stdin.flush()
        assert json.loads(router.stdout.readline())["result"] == {}     # Python has started
        timer = threading.Timer(4, router.kill)  # initialize took five seconds
        timer.start()
        router.stdin.write(lines(HELLO))
        router.stdin.flush()
        assert b"mcp-local-router" in router.stdout.readline()
        timer.cancel()
        timer.join()
        router.stdin.close()
        assert router.wait(20) == 0


def test_an_error_that_ends_the_program_is_a_clean_line_of_the_log(config):
    program = (
        "import runpy, selectors, sys\n"
        "def select(*_arguments):\n"
        "    raise MemoryError('hunter2hunter2')\n"
        "selectors.DefaultSelector.select = select\n"
        "sys.argv = ['router.py', '--transport', 'sse', '--port', '0', '--config', CONFIG]\n"
        f"runpy.run_path({ROUTER[1]!r}, run_name='__main__')\n")
    path = config(fake={**fake(), "env": {"KEY": "hunter2hunter2"}})
    done = subprocess.run([ROUTER[0], "-c", program.replace("CONFIG", repr(path))],
                          capture_output=True, timeout=30)
    assert done.returncode == 1 and b"hunter2" not in done.stderr
    assert b"ERROR [MainThread] a bug in the router has ended it" in done.stderr
    assert b"MemoryError: ***" in done.stderr
