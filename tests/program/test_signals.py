"""transports/program/signals.py: when the main thread is interrupted, and when it is not."""

import signal

import pytest

from transports.program.signals import SIGNALS, interruptible


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
