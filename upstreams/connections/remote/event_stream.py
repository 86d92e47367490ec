"""Bytes of `text/event-stream` → events, by the rules of the HTML Standard, Server-sent events.

A line ends with CR, LF, or both, wherever the pieces of bytes are cut. An event longer than what
is allowed loses its data, and the ones after it still arrive: memory is bounded.
"""

import re

SHORTEST_RETRY, LONGEST_RETRY = 0.01, 300.0     # seconds

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventStream:
    """One stream, over all of the connections that it is resumed on."""

    def __init__(self, longest):
        self._longest = longest     # bytes of the data of one event
        self.last_id = b""          # of the last event that had one: where to resume
        self.retry = None           # seconds to wait before that, if the server said so

    def events(self, pieces):
        r"""(type, data) of each event, as they come; data is None if that is too long.

        >>> list(EventStream(99).events([b"\xef\xbb\xbfdata: a\r", b"\ndata:b\r\n\r\nevent: x\n",
        ...                              b": hello\nid: 7\ndata\n\ndata: cut off"]))
        [(b'message', b'a\nb'), (b'x', b'')]
        """
        kind, data, size = b"message", [], -1   # no line end before the first line
        for line in self._lines(pieces):
            if line == b"":
                if data:
                    yield kind, b"\n".join(data) if size <= self._longest else None
                kind, data, size = b"message", [], -1
                continue
            name, _, value = (line or b"data").partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                size += self._longest + 2 if line is None else len(value) + 1
                data = [b""] if size > self._longest else data
                data.append(value)
            elif name == b"event":
                kind = value or b"message"
            elif name == b"id" and b"\0" not in value:
                self.last_id = value
            elif name == b"retry" and value.isdigit():
                self.retry = max(SHORTEST_RETRY, min(int(value[:9]) / 1000, LONGEST_RETRY))

    def _lines(self, pieces):
        """Each line, without its end; None in place of one that is too long."""
        parts, size, after_cr, begun = [], 0, False, False
        for piece in pieces:
            if not begun:
                piece, begun = piece.removeprefix(b"\xef\xbb\xbf"), True
            if after_cr and piece[:1] == b"\n":
                piece = piece[1:]
            after_cr = piece[-1:] == b"\r"
            first, *more = _LINE_END.split(piece)
            parts.append(first)
            size += len(first)
            too_long = size > self._longest + 100   # and the name of the field
            if too_long:
                parts = []
            if more:
                yield None if too_long else b"".join(parts)
                yield from more[:-1]
                parts, size = [more[-1]], len(more[-1])
