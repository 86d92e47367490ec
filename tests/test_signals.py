"""transports/signals.py: when the main thread is interrupted, and when it is not."""

import signal

import pytest

from transports.program.signals import SIGNALS, end_on_signals, undisturbed


@pytest.fixture
def ending():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    end_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_whatever_the_main_thread_waits_for(ending, number):
    with pytest.raises(SystemExit):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_message_that_is_being_dealt_with_is_finished_first(ending, number):
    done = []
    with pytest.raises(SystemExit):
        with undisturbed:
            signal.raise_signal(number)
            done.append("the message")
        done.append("what comes after it")
    assert done == ["the message"]
    with undisturbed:
        pass  # once is enough
