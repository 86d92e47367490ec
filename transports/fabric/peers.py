"""The interfaces that the rest of the program relies on, in one place.

Classes here are never instantiated and never inherited from: an object fits if it has the methods.
"""

import typing


class Peer(typing.Protocol):
    """Anything that a message can be sent to: a Call, a Session, an Upstream, an Outbox, …

    `send` may be called from any thread. It never blocks and never raises: if the message can't
    be delivered, the peer drops it, and a caller that waits for an answer gets an error otherwise.
    """

    def send(self, message: dict) -> None: ...


class Asked(Peer, typing.Protocol):
    """A peer that requests are passed on to: the Upstream of a server, or a client's Session."""

    def withdraw(self, our_id: int, reason: str) -> None:
        """The request that we sent under our id is not wanted any more; no error if it is gone.

        Any thread. The peer is told with notifications/cancelled, and its late answer is dropped.
        """


class ReplyTo(Peer, typing.Protocol):
    """Where a transport wants the answers to one client message: the last argument of
    `Router.handle`. It gets, in this order, what belongs to the request (progress, log lines,
    questions) and its answer. It may get them before `handle` returns, or long after, and from
    any thread. A session's own outbox will do; stdio and HTTP+SSE use nothing else.

    Only if it is a stream of its own, and not the session's outbox, it also needs what follows.
    Any thread may call it.
    """

    def expect_one_less(self) -> None:
        """One request was cancelled by its client: it will get no answer."""

    def is_complete(self) -> bool:
        """Whether nothing more goes out on it: what is sent to it now is dropped."""


class StartFailed(Exception):
    """A connection could not be started; the text says why and what was tried."""


class Connection(typing.Protocol):
    """What carries the messages of one life of a server. Made anew for each life."""

    pid: int | None

    def start(self, on_message: typing.Callable, on_closed: typing.Callable) -> None:
        """Called once. Raises StartFailed if there is nothing to talk to.

        on_message(message) is called by a thread of the connection that reads, and must not wait;
        it is never called twice at the same time. on_closed(reason, pause=None) is called once,
        by any thread of the connection; connections/remote.py tells what `pause` is.
        """

    def send(self, message: dict) -> None:
        """As a Peer's."""

    def close(self) -> None:
        """Begin to end it; returns at once. Any thread, any number of times."""

    def join(self, seconds: float) -> bool:
        """Wait for its end; False if it has not come by then."""

    def last_lines(self) -> list:
        """What the server last said about itself outside of the protocol, oldest first."""
