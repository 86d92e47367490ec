"""transports/program/signals.py: when the main thread is interrupted, and when it is not."""

import ctypes
import select
import signal
import subprocess
from pathlib import Path

import pytest

from transports.program import signals
from transports.program.signals import SIGNALS, interruptible

from by_hand import ROUTER
from processes import fake


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_the_main_thread_while_it_waits(number):
    with pytest.raises(SystemExit):
        with interruptible:
            signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_other_moment_is_remembered_until_it_waits(number):
    done = []
    signal.raise_signal(number)
    done.append("the message is handled to its end")
    with pytest.raises(SystemExit):
        with interruptible:
            done.append("never")
    assert done == ["the message is handled to its end"]


@pytest.mark.parametrize("number", SIGNALS)
def test_it_interrupts_once_and_leaves_the_end_alone(number):
    done = []
    with pytest.raises(SystemExit):
        try:
            with interruptible:
                signal.raise_signal(number)
        finally:
            with interruptible:
                done.append("the end may wait, too")
    assert done == ["the end may wait, too"]


@pytest.mark.parametrize("wake", [signals.WAKE, None])
def test_we_can_end_ourselves_cleanly_with_and_without_a_signal_that_wakes(monkeypatch, wake):
    monkeypatch.setattr(signals, "WAKE", wake)
    signals.end_ourselves()
    with pytest.raises(SystemExit):
        with interruptible:
            pass


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "tgkill"), reason="needs tgkill, of Linux")
@pytest.mark.parametrize("options", [["--transport", "sse", "--port", "0"], []])
@pytest.mark.parametrize("which", [1, 3, -1])
def test_a_signal_that_the_system_gives_to_another_thread_ends_us_as_well(config, options, which):
    with subprocess.Popen([*ROUTER, "--config", config(fake=fake()), *options], text=True,
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE) as router:
        for line in router.stderr:
            if "all together" in line or "waiting for a client" in line:
                break
        threads, before = {}, None
        while threads != before:    # until all of them wait for something
            select.select([], [], [], 0.5)
            threads, before = {int(path.name): (path / "status").read_text() for path in
                               Path(f"/proc/{router.pid}/task").iterdir()}, threads
        assert ctypes.CDLL(None).tgkill(
            router.pid, sorted(threads)[which], signal.SIGTERM) == 0
        try:
            assert router.wait(20) == 0
        finally:
            router.kill()
