"""One client on our standard input and output.

The main thread reads, because a daemon thread that is blocked on stdin aborts the interpreter at
its end. The thread `stdout-writer` is the output's feeder. When the input ends, the requests that
are still open are answered before we exit."""

import contextlib
import functools
import os
import sys
import threading

from transports.fabric.messages import INVALID_REQUEST, InvalidMessage, decode, each_line
from transports.fabric.outbox import feed_pipe
from transports.fabric.text import log
from transports.program.options import CannotServe
from transports.program.signals import end_ourselves, interruptible

ONE_CLIENT = True
DRAIN_SECONDS = 30.0        # at the end of input: for the answers that are still under way
SIGNAL_SECONDS = 2.0        # after a signal: for the client to read what we have for it


def serve(router, _options):
    """Serve one client on stdin and stdout until its input ends. Raises CannotServe."""
    if sys.stdin is None or sys.stdout is None:
        raise CannotServe("standard input or output is closed, so there is no client to serve: "
                          "a client starts the router with both; for others use --transport http")
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not end up between the messages
    for pipe in source, sink:
        # Some hosts hand over non-blocking pipes. Windows has this since Python 3.12, for pipes.
        with contextlib.suppress(AttributeError, OSError):
            os.set_blocking(pipe.fileno(), True)
    log.info("waiting for a client of these servers on standard input: %s",
             ", ".join(router.names()))
    serve_pipes(router, source, sink)


def serve_pipes(router, source, sink):
    """Serve the client at these two buffered binary files until `source` ends."""
    session = router.open("stdio")
    session.outbox.on_behind = end_ourselves  # a client that cannot hear us is of no use
    writer = threading.Thread(target=_write, args=(session.outbox, sink), name="stdout-writer")
    writer.start()
    longest = router.limits.message
    try:
        for line, tail in each_line(functools.partial(_read, source), longest):
            try:
                if tail is not None:
                    raise InvalidMessage(INVALID_REQUEST, f"longer than {longest} bytes")
                router.handle(session, decode(line), session.outbox)
            except InvalidMessage as problem:
                session.outbox.send(problem.answer(None))
            except Exception:  # a bug of ours in one message must not end all that follow
                log.exception("%s: one message was lost", session.name)
        session.says_no_more()
        with interruptible:
            all_answered = session.calls.wait_until_empty(DRAIN_SECONDS)
        if not all_answered:
            log.warning("%d requests were not answered within %g seconds after the end of input",
                        len(session.calls), DRAIN_SECONDS)
    finally:
        router.leave(session)
        _await(writer)


def _read(source, most):
    with interruptible:
        return source.readline(most)


def _await(writer):
    """Until the client has read everything; not for long once a signal has come."""
    try:
        with interruptible:
            writer.join(SIGNAL_SECONDS if interruptible.ending else DRAIN_SECONDS)
    except SystemExit:
        writer.join(SIGNAL_SECONDS)
    if writer.is_alive():
        log.error("the client does not read our output: exiting although some is unwritten")
        os._exit(1)  # the guardian process ends the servers


def _write(outbox, sink):
    """Run by stdout-writer."""
    try:
        feed_pipe(outbox, sink)
    except OSError:
        log.info("the client does not read our answers any more")
        end_ourselves()     # the main thread waits for input, and only a signal ends that
    except Exception:
        end_ourselves()
        raise   # into the log
