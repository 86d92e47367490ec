"""What Windows and macOS lack is taken away, and the program works all the same.

This is no test on these systems, which cannot be run here. `sitecustomize.py` is what Python runs
before any program.
"""

import json
import signal
import time

import pytest

import processes
from by_hand import HELLO, ROUTER, Sse, call, lines
from processes import children, fake, wait_until

TAKE = """
import os, select, signal, subprocess, sys
def take(module, *names):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""
LIKE = {
    "Windows": TAKE + """
sys.modules.update(dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios")))
take(os, "set_blocking", "get_blocking", "killpg", "setsid", "setpgid", "waitid", "P_PID",
     "O_NONBLOCK", "O_NOCTTY", "getuid", "geteuid", "mkfifo", "pipe2", "fork", "eventfd")
take(select, "poll", "epoll", "PIPE_BUF")
take(signal, "SIGHUP", "SIGKILL", "SIGURG", "SIGCHLD", "SIGPIPE", "SIGUSR1", "SIGALRM",
     "pthread_kill", "pthread_sigmask", "sigwait")
# What is there instead, as far as Linux can do it
subprocess.CREATE_NEW_PROCESS_GROUP, signal.CTRL_BREAK_EVENT = 0, signal.SIGTERM
""",
    "macOS": TAKE + """
take(os, "waitid", "P_PID", "pipe2", "eventfd", "pidfd_open", "memfd_create")
take(select, "epoll")
select.PIPE_BUF = 512
""",
}


@pytest.fixture(params=LIKE)
def like(request, tmp_path, monkeypatch):
    """The name of the system that every Python which starts now is like."""
    (tmp_path / "sitecustomize.py").write_text(LIKE[request.param])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return request.param


def test_a_client_over_stdio_gets_its_answers(like, run, config):
    done = run(*ROUTER, "--config", config(fake=fake("rubbish"), dies=fake("dies")), input=lines(
        HELLO, {"method": "notifications/initialized"},
        *(call(number, "fake__echo", text="x" * 10_000) for number in range(2, 50))))
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert {answer["id"] for answer in answers} == {*range(1, 50)}
    assert b"exited with status 1: this server was told to die" in done.stderr


def test_clients_over_http_and_by_connect_get_their_answers_of_a_remote_server(
        like, run, start_router, tmp_path):
    far = start_router({"fake": fake()})
    (tmp_path / "near").mkdir()
    near = processes.Running(tmp_path / "near", {"far": {"url": f"{far.url}/mcp/fake"}})
    try:
        with Sse(near.url) as client:
            for number in range(2, 30):
                client.post(call(number, "far__echo", text="hi"))
            assert {client.get()["id"] for _ in range(28)} == {*range(2, 30)}
        done = run(*ROUTER, "--connect", f"{near.url}/mcp", input=lines(
            HELLO, {"method": "notifications/initialized"}, call(2, "far__echo", text="hi")))
        assert done.stdout.count(b"\n") == 2 and b"Traceback" not in done.stderr
    finally:
        assert near.stop() == 0
    assert "Traceback" not in "\n".join(near.lines)


def test_a_signal_ends_it_and_its_servers(like, start_router):
    running = start_router({"fake": fake()})
    left = children(running.process.pid)
    began = time.monotonic()
    assert running.stop(signal.SIGINT) == 0 and time.monotonic() - began < 5
    assert wait_until(lambda: not left & children())


def test_check_and_a_trace_work(like, run, config, tmp_path):
    done = run(*ROUTER, "--check", "--config", config(fake=fake()), "--trace", tmp_path / "trace")
    assert done.returncode == 0 and b"running" in done.stdout, done.stderr
    assert (tmp_path / "trace").read_bytes().startswith(b'{"n":1')
