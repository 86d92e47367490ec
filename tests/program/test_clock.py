"""transports/clock.py: the one thread in which time passes."""

import threading

import pytest

from transports.program.clock import Clock


@pytest.fixture
def clock():
    clock = Clock()
    clock.start()
    yield clock
    clock.close()


def test_what_is_due_is_called_in_order_though_it_was_entered_in_another(clock):
    done, last = [], threading.Event()
    clock.after(0.1, last.set)
    clock.after(0.05, done.append, 2)
    clock.after(0.01, done.append, 1)
    assert last.wait(30)
    assert done == [1, 2]


def test_what_is_forgotten_is_not_called_and_forgetting_it_twice_is_no_error(clock):
    done, last = [], threading.Event()
    event = clock.after(0.01, done.append, 1)
    clock.forget(event)
    clock.forget(event)
    clock.after(0.05, last.set)
    assert last.wait(30)
    assert done == []


def test_a_bug_in_one_deadline_does_not_stop_the_others(clock, caplog):
    last = threading.Event()
    clock.after(0.01, lambda: 1 / 0)
    clock.after(0.02, last.set)
    assert last.wait(30)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("seconds", [1e11, float("inf")])
def test_a_deadline_that_is_too_far_away_to_wait_for_does_not_stop_the_others(clock, seconds):
    last = threading.Event()
    clock.after(seconds, lambda: None)
    clock.after(0.01, last.set)
    assert last.wait(30)
