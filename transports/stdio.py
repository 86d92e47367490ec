"""The stdio transport: one client on our standard input and output.

The main thread reads stdin, because a daemon thread blocked there would abort the interpreter at
its end; the thread `stdout-writer` is the only one that writes to stdout. When the input ends,
what is still being asked is answered before we go.
"""

import logging
import os
import sys
import threading

from transports.fabric.messages import INVALID_REQUEST, InvalidMessage, decode, error
from transports.fabric.outbox import feed_pipe
from transports.program.signals import end_ourselves, undisturbed

log = logging.getLogger("router")

DRAIN_SECONDS = 30.0        # at the end of input: for the answers that are still under way


def serve(router):
    """Serve one client until its input ends. Called by the main thread, once."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not end up between the messages
    session = router.open("stdio")
    session.outbox.on_behind = end_ourselves  # muted, it would be of no use
    writer = threading.Thread(target=_write, args=(session.outbox, stdout), name="stdout-writer")
    writer.start()
    try:
        longest = router.limits.message
        while line := stdin.readline(longest):
            if len(line) >= longest and not line.endswith(b"\n"):
                _skip_rest(stdin)
                with undisturbed:
                    session.outbox.send(error(None, INVALID_REQUEST,
                                              f"longer than {longest} bytes"))
            elif line.strip():
                _handle_line(router, session, line)
        session.pending.close("the client has closed its end: it can answer nothing any more")
        if not session.calls.wait_until_empty(DRAIN_SECONDS):
            log.warning("%d requests were not answered within %g seconds after the end of input",
                        len(session.calls), DRAIN_SECONDS)
    finally:
        router.leave(session)
        writer.join(DRAIN_SECONDS)
        if writer.is_alive():
            log.error("the client does not read what we write: leaving without it")
            os._exit(1)  # the guardian process ends the servers


def _handle_line(router, session, line):
    with undisturbed:
        try:
            router.handle(session, decode(line), session.outbox)
        except InvalidMessage as problem:
            session.outbox.send(error(None, problem.code, str(problem)))


def _skip_rest(stdin):
    while (line := stdin.readline(2**20)) and not line.endswith(b"\n"):
        pass


def _write(outbox, stdout):
    """Run by stdout-writer."""
    try:
        feed_pipe(outbox, stdout)
    except OSError:
        # Nobody reads our answers. The main thread waits for input: only a signal ends that.
        log.info("the client has closed our output")
        end_ourselves()
