"""--trace FILE: each message that passes, as a line of JSON. README.md here tells of them.

A thread of its own writes the lines, so that no message waits for the disk; where it could not
keep up, there is a line {"missed": n}."""

import os
import stat
import threading

from transports.fabric.messages import encode
from transports.fabric.text import log

from .tap import tap

MOST_BYTES = 64 * 2**20     # of one file
OURS = b'{"n":', b'{"missed":'  # how each of our lines begins


class Trace:
    """Writes from now on; `close` it once."""

    def __init__(self, path):
        """Raises ValueError if the file cannot be written."""
        self._path = path
        try:
            for each in path, f"{path}.1":
                _refuse_what_is_no_trace(each)
            self._file = _open(path)
        except OSError as problem:
            raise ValueError(f"--trace {path}: {problem.strerror or problem}: give a file that "
                             "can be written") from None
        self._reader = tap.open(wants_all=True)
        self._thread = threading.Thread(target=self._write, name="trace-writer")
        self._thread.start()

    def close(self):
        """Returns when all is written."""
        self._reader.close()
        self._thread.join()

    def _write(self):
        """Run by trace-writer."""
        try:
            while found := self._reader.read(None):
                records, missed = found
                lines = [encode({"missed": missed})] if missed else []
                self._write_lines([*lines, *(record.line() for record in records)])
        except OSError as problem:
            log.error("the trace ends here: %s: %s", self._path, problem.strerror)
        finally:
            self._reader.close()
            self._file.close()

    def _write_lines(self, lines):
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()
        if os.fstat(self._file.fileno()).st_size >= MOST_BYTES:
            self._file.close()
            os.replace(self._path, f"{self._path}.1")
            self._file = _open(self._path)


def _refuse_what_is_no_trace(path):
    """Raises ValueError for a file with something else in it, as the config. A trace is added to
    the first file, and takes the place of the second."""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            if not (file.read(20) or OURS[0]).startswith(OURS):
                raise ValueError(f"--trace {path}: is there already, and is no trace: give a "
                                 "file that is not there yet")


def _open(path):
    """The file, which nobody else may read, to write at its end. Raises OSError."""
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT
                     | getattr(os, "O_NONBLOCK", 0), 0o600)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError("is no file")
        os.chmod(path, 0o600)   # it may have been there before
    except OSError:
        os.close(number)
        raise
    return open(number, "ab")
