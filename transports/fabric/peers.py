"""The interfaces that the rest of the program relies on. Nobody instantiates or inherits these
Protocols: an object fits if it has the methods, which any thread may call."""

import types
import typing


class Peer(typing.Protocol):
    """Anything that a message can be sent to: a Call, a Session, an Upstream, an Outbox, … `send`
    never blocks and never raises: a peer drops what it can't deliver."""

    def send(self, message: dict) -> None: ...


class ReplyTo(Peer, typing.Protocol):
    """The last argument of `Router.handle`: it gets what belongs to a client's request and then
    its answer. A session's outbox has `send` alone; a stream of a request's own has all."""

    def expect_one_less(self) -> None:
        """One request was cancelled by its client: it will get no answer."""

    def is_complete(self) -> bool:
        """Whether nothing more goes out on it: what is sent to it now is dropped."""


class StartFailed(Exception):
    """A connection could not be started; the text says why and what was tried."""


class Connection(typing.Protocol):
    """What carries the messages of one life of a server. Made anew for each life."""

    pid: int | None
    skipped: str | None     # the first of what it said that is no message, in words
    unread: bool            # whether it is known to have ended without reading what was sent

    def start(self, on_message: typing.Callable, on_closed: typing.Callable) -> None:
        """Called once. Raises StartFailed if there is nothing to talk to.

        on_message(message) is called by a thread that reads, never twice at the same time, and
        must not wait; it raises InvalidMessage for what is none. on_closed(reason, pause=None) is
        called once, by any thread. `pause`: the seconds after which another start makes sense, 0
        if the server only forgot us, math.inf if none makes sense, None if that is not known."""

    def send(self, message: dict) -> None: ...

    def close(self) -> None:
        """Begin to end it; returns at once. May be called any number of times."""

    def join(self, seconds: float) -> bool:
        """Wait for its end; False if it has not come by then."""

    def last_lines(self) -> list:
        """What the server last said beside the protocol, oldest first."""


class Observer(typing.Protocol):
    """Sees each message as it passes. What is called here never blocks and never raises."""

    from_client: typing.Callable    # (session, message), by FromClient.handle
    to_client: typing.Callable      # (session.name, message, its bytes), by `send` of each stream
    from_server: typing.Callable    # (upstream, message), by Life.receive
    to_server: typing.Callable      # (upstream, message, the Call it is for or None), by Life.send
    asked: typing.Callable          # (session, our id, Call): before a server's question is sent


# The one Observer of the program, and whether it looks now, for which callers look first.
passing = types.SimpleNamespace(observer=None, watched=False)
