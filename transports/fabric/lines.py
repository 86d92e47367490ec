"""The lines that come out of a pipe, none of which may be longer than we like."""

import contextlib

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
