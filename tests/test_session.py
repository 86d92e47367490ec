"""transports/session.py: gates."""

from transports.fabric.session import Gate


def test_a_gate_keeps_the_order_also_of_what_comes_while_it_opens():
    gate, done = Gate(), []

    def first():
        done.append(1)
        gate.do(done.append, 3)
    gate.do(first)
    gate.do(done.append, 2)
    assert done == []
    gate.open()
    gate.do(done.append, 4)
    assert done == [1, 2, 3, 4]


def test_a_gate_that_is_opened_while_it_opens_lets_nothing_overtake():
    gate, done = Gate(), []

    def first():
        gate.open()  # another thread does, just now
        gate.do(done.append, 3)
        done.append(1)
    gate.do(first)
    gate.do(done.append, 2)
    gate.open()
    assert done == [1, 2, 3]
