"""Bytes of `text/event-stream` → events, by the rules of the HTML Standard, Server-sent events.

A line ends with CR, LF, or both, wherever the pieces are cut. Of an event that is too long only
both ends are kept, and the ones after it still arrive: memory is bounded."""

import re

SHORTEST_RETRY, LONGEST_RETRY = 0.25, 300.0     # seconds
ENDS = 400      # bytes that are kept of either end of what is too long

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventStream:
    """One stream, over all of the connections that it is resumed on."""

    def __init__(self, longest):
        self._longest = longest     # bytes of the data of one event
        self.last_id = b""          # of the last event that had one: where to resume
        self.retry = None           # seconds to wait before that, if the server said so

    def events(self, pieces):
        r"""(type, data, whether the data is whole) of each event, as they come.

        >>> list(EventStream(99).events([b"\xef\xbb\xbfdata: a\r", b"\ndata:b\r\n\r\nevent: x\n",
        ...                              b": hello\nid: 7\ndata\n\ndata: cut off"]))
        [(b'message', b'a\nb', True), (b'x', b'', True)]
        """
        kind, data, whole = b"message", bytearray(), True
        for line, is_whole in self._lines(pieces):
            if not line:
                if data:
                    yield kind, bytes(data[:-1]), whole
                kind, data, whole = b"message", bytearray(), True
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data += value
                data += b"\n"
                whole = whole and is_whole and len(data) <= self._longest + 1
                if not whole:
                    del data[ENDS:-ENDS]
            elif name == b"event":
                kind = bytes(value) or b"message"
            else:
                self._learn(name, bytes(value))

    def _learn(self, name, value):
        if name == b"id" and b"\0" not in value:
            self.last_id = value
        elif name == b"retry" and value.isdigit():
            self.retry = max(SHORTEST_RETRY, min(int(value[:9]) / 1000, LONGEST_RETRY))

    def _lines(self, pieces):
        """(each line without its end, whether it is whole)."""
        line, whole, after_cr, begun = bytearray(), True, False, False
        for piece in pieces:
            if not begun:
                piece, begun = piece.removeprefix(b"\xef\xbb\xbf"), True
            if after_cr and piece[:1] == b"\n":
                piece = piece[1:]
            after_cr = piece[-1:] == b"\r"
            first, *more = _LINE_END.split(piece)
            line += first
            if len(line) > self._longest + 100:     # and the name of the field
                whole = False
                del line[ENDS:-ENDS]
            if more:
                yield line, whole
                yield from ((each, True) for each in more[:-1])
                line, whole = bytearray(more[-1]), True
