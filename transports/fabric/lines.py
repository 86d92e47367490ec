"""The lines that come out of a pipe, and what to make of one that is no message."""

import contextlib
import re

from .messages import InvalidMessage, decode, kind_of

ENDS = 400          # bytes that are kept of both ends of a line that is too long
_BOM = b"\xef\xbb\xbf"


def each_line(pipe, longest, waiting=contextlib.nullcontext()):
    """(line, None) for each line that is not blank, without its end and without a byte order mark.

    (its first bytes, its last bytes) for a line that is longer than `longest` bytes. `waiting` is
    a context manager, around each read.

    >>> import io
    >>> list(each_line(io.BytesIO(b"one\\n\\n" + b"x" * 1000 + b"y\\nthree"), 900)) == [
    ...     (b"one", None), (b"x" * 400, b"x" * 399 + b"y"), (b"three", None)]
    True
    """
    def read(most):
        with waiting:
            return pipe.readline(most)

    while line := read(longest):
        tail = None
        if len(line) >= longest and not line.endswith(b"\n"):
            line, tail = line[:ENDS], line[-ENDS:]
            while rest := read(2**20):
                tail = (tail + rest.rstrip(b"\r\n"))[-ENDS:]
                if rest.endswith(b"\n"):
                    break
        if line := line.removeprefix(_BOM).strip():
            yield line, tail


def behind_a_banner(line):
    """The message in a line behind other text, as a progress bar has no line end; or None."""
    start = line.find(b'{"')
    try:
        message = decode(line[start:]) if start > 0 else None
        kind_of(message)
    except InvalidMessage:
        return None
    return message


def id_of_answer(line):
    """Our id in bytes that are no message, if they were an answer, else None. A log line or a
    request has none that would be ours."""
    head, tail = line[:200], line[-200:]
    if b'"jsonrpc"' not in head + tail or b'"method"' in head:
        return None
    found = _ID_AT_START.search(head) or _ID_AT_END.search(tail)
    return found and int(found[1])


# Where SDKs put the id of an answer: Python's near the start, TypeScript's at the very end.
_ID_AT_START = re.compile(rb'^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+)\s*,')
_ID_AT_END = re.compile(rb',\s*"id"\s*:\s*(\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')
