"""Where a message can be seen as it passes: one place in each direction, on either side.

    from client    Observer.from_client    by FromClient.handle
    to client      Observer.to_client      by Outbox.send, and by `send` of every other stream
    from server    Observer.from_server    by Life.receive
    to server      Observer.to_server      by Life.send

The callers compare `passing.watched` first, so this is all that it costs while nobody looks.
"""

import typing


class Observer(typing.Protocol):
    """Any thread may call anything here. It never blocks and never raises."""

    def from_client(self, session, message: dict) -> None: ...

    def to_client(self, name: str, message: dict, data: bytes) -> None:
        """`name`: of the session; `data`: the message as bytes."""

    def from_server(self, upstream, message: dict) -> None: ...

    def to_server(self, upstream, message: dict, call) -> None:
        """`call`: the Call on whose behalf, or None."""

    def asked(self, session, our_id: int, question) -> None:
        """This session is about to be asked a server's question, a Call, under our id."""


class Passing:
    """The one Observer of the whole program, as there is one log."""

    observer: Observer = None
    watched = False     # whether it wants to see messages now; there is one then


passing = Passing()
