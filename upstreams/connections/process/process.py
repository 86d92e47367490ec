"""A server as a child process: the connection that carries an Upstream's messages.

Each pipe belongs to one thread (NAME-reader, NAME-writer, NAME-stderr), and only that thread
closes it: a close blocks while another thread reads from the pipe. A fourth, NAME-exit, waits for
the process, and ends what is left of its group.

The end has three steps (2025-11-25, Lifecycle, Shutdown): we close stdin; if the process is still
there after GRACE seconds it gets SIGTERM, and after as many again SIGKILL. The signals go to the
process *group*, because npx, uvx and `sh -c` leave grandchildren that hold our pipes open."""

import collections
import contextlib
import errno
import math
import os
import shutil
import signal
import subprocess
import threading
import time

from transports.fabric.messages import (INTERNAL_ERROR, INVALID_REQUEST, InvalidMessage, decode,
                                        each_line, encode, error, id_of_answer, messages_within,
                                        seems_answer)
from transports.fabric.outbox import Outbox, feed_pipe
from transports.fabric.peers import StartFailed
from transports.fabric.text import log, printable

from .guardian import KILL, WINDOWS, signal_group
from .program import command_line, environment

try:
    import fcntl
    import termios
except ImportError:     # Windows, where nobody says what is left in a pipe
    fcntl = None

GRACE = 2.0             # seconds between two steps of the end
DRAIN = 0.5             # seconds for the last lines to arrive after the process has ended
SHOWN, TOLD = 80, 5     # characters of a skipped line in the log; so many such lines a second
RECENT = 5.0            # seconds for which such a line may be the reason of the end
OWN_GROUP = ({"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if WINDOWS
             else {"start_new_session": True})


class Process:
    """One life of one server. `start` it once; `send` and `close` from any thread."""

    def __init__(self, entry, label, clock, guardian, longest=64 * 2**20):
        self.entry, self.pid = entry, None
        self.label = label  # for thread names and the log: the server, and its owner if it has one
        self.skipped = None     # the first line of its output that was no message, in words
        self._longest = longest  # bytes of one message
        self._clock, self._guardian = clock, guardian
        self._outbox = Outbox(f"{label}'s input", on_behind=self.kill)
        self._exited = threading.Event()  # set when the process itself has ended
        self._ended = threading.Event()   # set when its group has, too
        self._last_lines = collections.deque(maxlen=20)  # of stderr
        self.unread = False     # whether it ended with what we wrote unread, if the system says it
        self._unended = b""     # the beginning of a line of stderr that has not come to its end
        self._skipped = 0       # lines of stdout that the log has not told of
        self._told = collections.deque([-math.inf] * TOLD, TOLD)    # when it has told of others
        self._just_skipped = None   # (when, the last of them in words), if no message came after
        self._end = threading.Lock()    # acquired once, by the thread that reports the end
        self._lock = threading.Lock()
        self._reaped = False    # then its id may be that of another process; protected by _lock

    def start(self, on_message, on_closed):
        """See Connection. NAME-reader calls on_message; NAME-exit or a pipe's thread on_closed."""
        self._on_message, self._on_closed = on_message, on_closed
        self._process = process = _open(self.entry)
        self.pid = process.pid
        self._guardian.tell(self.pid)
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True,
                                          name=f"{self.label}-{role}")
                         for role, work in (("reader", self._read), ("stderr", self._read_stderr),
                                            ("writer", self._write), ("exit", self._await_exit))]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError as problem:  # the system has no more threads
            self._end.acquire()     # nobody is to hear of it
            self.kill()
            self._await_exit()  # it has no NAME-exit
            pipes = process.stdout, process.stderr, process.stdin
            for pipe in [pipe for thread, pipe in zip(self._threads, pipes)
                         if not thread.is_alive()]:
                pipe.close()
            raise StartFailed(f"its threads could not be started: {problem}") from None

    # -- called by any thread

    def send(self, message):
        self._outbox.put(encode(message))

    def close(self):
        """Begin the three steps; returns at once. `join` waits for the end."""
        if self.pid is not None:    # else it never started
            self._outbox.close()    # NAME-writer then closes stdin
            self._clock.after(GRACE, self._signal, signal.SIGTERM)
            self._clock.after(2 * GRACE, self._signal, KILL)

    def kill(self):
        """The third step at once."""
        self._outbox.close()
        self._signal(KILL)

    def join(self, seconds):
        """Wait for the process and its group to end; False if they have not by then."""
        if self.pid is not None:    # else it never started
            if not self._ended.wait(seconds):
                return False
            # Not for long: a process that has left the group may hold the pipe open.
            _wait_for(self._threads, min(seconds, DRAIN))
        return True

    def last_lines(self):
        """What it last said beside the protocol: what was no message, and lines of stderr."""
        return list(filter(None, [self.skipped, *self._last_lines, self._shown(self._unended)]))

    def _shown(self, data, most=4000):
        return printable(self.entry.redact(data.decode("utf-8", "replace").strip(), most))

    def _signal(self, number):
        with self._lock:  # also while we signal, so that nobody reaps it before
            if not self._reaped:
                signal_group(self.pid, number)

    def _run(self, work):
        """Run by each of the threads. If a bug of ours ends one, the server is of no use."""
        try:
            work()
        except Exception:
            self._report("was cut off by a bug in the router")
            self.close()
            raise  # into the log

    def _broken(self, reason):
        """A pipe has ended. Its thread may wait here: an exit status would say more than that."""
        if not self._exited.wait(DRAIN):
            self._report(reason)
        self.close()

    def _report(self, reason):
        if self._end.acquire(blocking=False):
            try:
                self._on_closed(reason)
            except Exception:  # a bug of ours must not keep the process alive
                log.exception("%s: its end was lost", self.label)

    # -- NAME-reader

    def _read(self):
        with self._process.stdout as stdout:
            for line, tail in each_line(stdout.readline, self._longest):
                try:
                    self._handle_line(line, tail)
                except Exception:  # a bug of ours in one message must not end all that follow
                    log.exception("%s: one message was lost", self.label)
        self._broken("closed its output")

    def _handle_line(self, line, tail):
        try:
            if tail is not None:
                raise InvalidMessage(INTERNAL_ERROR, f"longer than {self._longest} bytes")
            self._on_message(decode(line))
            self._just_skipped = None
        except InvalidMessage as problem:
            self._make_out(line, line + (tail or b""), problem)

    def _make_out(self, line, seen, problem):
        """A line is no message: pass on those that are in it, or tell of an answer that was."""
        found = [] if problem.code == INVALID_REQUEST else messages_within(line)
        if not found:
            self._skip(line, problem)
            if problem.code == INVALID_REQUEST or not seems_answer(seen):
                return
            # No other one will come. Without an id it is that of the request that waits.
            found = [error(id_of_answer(seen), INTERNAL_ERROR,
                           f'server "{self.entry.name}" sent an answer that cannot be passed on: '
                           f"{problem}: {self._shown(line, SHOWN)}")]
        for message in found:
            with contextlib.suppress(InvalidMessage):   # nobody waits for it
                self._on_message(message)

    def _skip(self, line, problem):
        """A line is no message. Of many, only TOLD a second are told in the log."""
        self._skipped += 1
        now, said = time.monotonic(), f"{self._shown(line[:20 * SHOWN], SHOWN)} ({problem})"
        self._just_skipped = now, f"skipped a line of its output: {said}"
        self.skipped = self.skipped or self._just_skipped[1]
        if now - self._told[0] >= 1:
            self._told.append(now)
            count, self._skipped = f"{self._skipped} lines" if self._skipped > 1 else "a line", 0
            log.warning("%s: skipped %s of its output: %s", self.label, count, said)

    # -- NAME-writer

    def _write(self):
        try:
            feed_pipe(self._outbox, self._process.stdin)
        except OSError:
            self.unread = True
            self._broken("closed its input")
        finally:
            # If the server is gone, NAME-exit tells the Upstream, which fails the requests.
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    # -- NAME-stderr

    def _read_stderr(self):
        with self._process.stderr as stderr:
            data = b"\n"
            while data:     # to the end: a full pipe blocks the server
                data = stderr.read1(2**16)
                # Where the pipe ends, its last line does.
                *lines, rest = (self._unended + (data or b"\n")).split(b"\n")
                for text in filter(None, map(self._shown, lines)):
                    self._last_lines.append(text)
                    log.info("%s: %s", self.label, text)
                self._unended = rest[:2**16]

    # -- NAME-exit

    def _await_exit(self):
        reason = "has ended"
        try:
            status = self._wait()
            with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or not known
                self.unread |= any(fcntl.ioctl(self._process.stdin, termios.FIONREAD, bytes(4)))
            self._exited.set()
            self._outbox.close()
            _wait_for(self._threads[:3], DRAIN)  # what it said before it died still counts
            self.unread |= self._outbox.dropped
            signals = {number.value: number.name for number in signal.Signals}
            reason = (f"was ended by {signals.get(-status, f'signal {-status}')}" if status < 0
                      else f"exited with status {status}")
            reason = (": " if status >= 0 else "; it last said: ").join(
                [reason, *self._last_words()])
        finally:  # whatever fails above
            self._report(reason)
            self._end_group()

    def _last_words(self):
        """[its last line on stderr, or else on stdout if that was no message and just came]."""
        said = list(filter(None, [*self._last_lines, self._shown(self._unended)]))
        when, line = self._just_skipped or (-math.inf, None)
        return said[-1:] or [line][time.monotonic() - when > RECENT:]

    def _wait(self):
        """Wait for its exit; returns the status as Popen has it. If the system can wait without
        reaping, no other process gets its number yet."""
        try:
            end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
        except (AttributeError, ChildProcessError):
            # There is no waitid on Windows, and none on macOS before Python 3.13. Where SIGCHLD is
            # ignored, as our parent may have told us, the system reaps, and nobody gets a status.
            return self._process.wait()

    def _end_group(self):
        """End what is left: a child of the server may hold its stdout, or nothing of ours."""
        if self._threads[0].is_alive():
            self._signal(signal.SIGTERM)
            self._threads[0].join(GRACE)
        self._signal(KILL)
        try:
            self._guardian.tell(-self.pid)
        finally:    # whatever fails there
            with self._lock:
                self._reaped = True
                self._process.wait()  # does not block: it has exited
            self._ended.set()


def _wait_for(threads, seconds):
    for thread in threads:
        if thread.is_alive():
            thread.join(seconds)


def _open(entry):
    """A new process. Raises StartFailed."""
    variables = environment(entry)
    path = variables.get("PATH", os.defpath)
    command = shutil.which(entry.command, path=path)
    if not command:
        where = (f"searched PATH={path}" if os.path.basename(entry.command) == entry.command
                 else "it is a path, so PATH was not searched")
        raise StartFailed(f'the command "{entry.command}" was not found or may not be run; '
                          f"{entry.hint}{where}")
    if not os.path.isdir(entry.cwd):
        raise StartFailed(f'the working directory "{entry.cwd}" does not exist')
    try:
        return subprocess.Popen(command_line(command, entry.args), env=variables, cwd=entry.cwd,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, bufsize=2**16, **OWN_GROUP)
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        hint = (": it must be a program for this machine, or begin with a line as #!/bin/sh"
                if getattr(problem, "errno", None) == errno.ENOEXEC else "")
        raise StartFailed(f"{command} could not be started: {why}{hint}") from None
