"""The stdio transport: one client on our standard input and output.

The main thread reads stdin, because a daemon thread blocked there would abort the interpreter at
its end; the thread `stdout-writer` is the only one that writes to stdout. When the input ends,
what is still being asked is answered before we go.
"""

import logging
import os
import signal
import sys
import threading

from .messages import SERVER_UNAVAILABLE, InvalidMessage, decode, error
from .session import CLOSE

log = logging.getLogger("router")

DRAIN_SECONDS = 30.0        # at the end of input: for the answers that are still under way
MAX_LINE = 64 * 2**20       # bytes of one message


def serve(router):
    """Serve one client until its input ends. Called by the main thread, once."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not end up between the messages
    session = router.open()
    writer = threading.Thread(target=_write, args=(session.outbox, stdout), name="stdout-writer")
    writer.start()
    try:
        while line := stdin.readline(MAX_LINE):
            if line.strip():
                _one(router, session, line)
        session.pending.close("the client has closed its end: it can answer nothing any more")
        if not session.calls.wait_until_empty(DRAIN_SECONDS):
            log.warning("%d requests were not answered within %g seconds after the end of input",
                        len(session.calls), DRAIN_SECONDS)
    finally:
        router.leave(session)
        writer.join()


def _one(router, session, line):
    try:
        if not line.endswith(b"\n") and len(line) >= MAX_LINE:
            raise InvalidMessage(SERVER_UNAVAILABLE, f"a message is longer than {MAX_LINE} bytes")
        router.handle(session, decode(line), session.outbox)
    except InvalidMessage as problem:
        session.send(error(None, problem.code, str(problem)))


def _write(outbox, stdout):
    """Run by stdout-writer."""
    try:
        while (data := outbox.get()) is not CLOSE:
            stdout.write(data + b"\n")
            stdout.flush()
    except OSError:
        # Nobody reads our answers. The main thread waits for input: only a signal ends that.
        log.info("the client has closed our output")
        os.kill(os.getpid(), signal.SIGTERM)
