"""A server as a child process: the connection that carries an Upstream's messages.

Each pipe belongs to one thread, and only that thread closes it: a close blocks while another
thread reads from the pipe. A fourth thread waits for the process.

    NAME-reader    reads stdout: calls on_message for each line
    NAME-writer    writes to stdin: the messages that their senders could not write at once
    NAME-stderr    reads stderr: writes it to the log, and keeps the last lines for errors
    NAME-exit      waits for the process to end, then ends what is left of its group

A sender writes to stdin itself if it gets the pen of the outbox (fabric/outbox.py) and the pipe
has room. NAME-writer holds the pen when it closes stdin, so no sender writes to a closed pipe.

The end has three steps (2025-11-25, Lifecycle, Shutdown): we close stdin; if the process is still
there after GRACE seconds it gets SIGTERM, and after as many again SIGKILL. The signals go to the
process *group*, because npx, uvx and `sh -c` leave grandchildren that hold our pipes open.
"""

import collections
import logging
import os
import re
import shutil
import signal
import subprocess
import threading

from transports.fabric.messages import INTERNAL_ERROR, InvalidMessage, decode, encode, error
from transports.fabric.outbox import Outbox, feed_pipe
from transports.fabric.peers import StartFailed
from transports.fabric.text import printable

from .guardian import KILL, WINDOWS, signal_group
from .programs import to_install

log = logging.getLogger("router")

GRACE = 2.0             # seconds between two steps of the end
DRAIN = 0.5             # seconds for the last lines to arrive after the process has ended
STDERR_LINES = 20
SHOWN = 80              # characters of a skipped line in the log
ENDS = 400              # bytes that are kept of both ends of it: more than SHOWN characters


class Process:
    """One life of one server. `start` it once; `send` and `close` from any thread."""

    def __init__(self, entry, label, clock, guardian, longest=64 * 2**20):
        self.entry = entry
        self.label = label  # for thread names and the log: the server, and its owner if it has one
        self.pid = None
        self._longest = longest  # bytes of one message
        self._clock = clock
        self._guardian = guardian
        self._outbox = Outbox(f"{label}'s input", on_behind=self.kill)
        self._exited = threading.Event()  # set when the process itself has ended
        self._ended = threading.Event()   # set when its group has, too
        self._last_lines = collections.deque(maxlen=STDERR_LINES)
        self._lock = threading.Lock()
        # protected by _lock:
        self._reported = False
        self._reaped = False    # from then on its process id may be that of another process

    def start(self, on_message, on_closed):
        """Start the process and its threads. Raises StartFailed.

        on_message(message) is called by NAME-reader. on_closed(reason) is called once: by
        NAME-exit, or by the thread of a pipe that the server closed while it lives on.
        """
        self._on_message, self._on_closed = on_message, on_closed
        self._process = self._open()
        self.pid = self._process.pid
        self._guardian.watch(self.pid)
        self._threads = [threading.Thread(target=work, name=f"{self.label}-{role}", daemon=True)
                         for role, work in (("reader", self._read), ("writer", self._write),
                                            ("stderr", self._drain_stderr),
                                            ("exit", self._await_exit))]
        self._reader, _, self._stderr, _ = self._threads
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError as problem:  # the system has no more threads
            self._end_without_threads()
            raise StartFailed(f"its threads could not be started: {problem}") from None

    def _end_without_threads(self):
        """End a process that has just begun, and that has no NAME-exit: here, and at once."""
        self.kill()
        self._wait()
        self._end_group()
        process = self._process
        for thread, pipe in zip(self._threads, (process.stdout, process.stdin, process.stderr)):
            if thread.is_alive():
                thread.join(DRAIN)  # it closes its pipe itself
            else:
                pipe.close()

    def _open(self):
        entry = self.entry
        environment = {**os.environ, **dict(entry.env)}
        environment.pop("MCP_ROUTER_TOKEN", None)  # ours: no server needs it
        path = environment.get("PATH", os.defpath)
        command = shutil.which(entry.command, path=path)
        if command is None:
            is_path = os.path.basename(entry.command) != entry.command
            program = to_install(entry.command)
            raise StartFailed(f'the command "{entry.command}" was not found or may not be run; '
                              + (f"it comes with {program}; " if program else "")
                              + ("it is a path, so PATH was not searched" if is_path
                                 else f"searched PATH={path}"))
        if not os.path.isdir(entry.cwd):
            raise StartFailed(f'the working directory "{entry.cwd}" does not exist')
        own_group = ({"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if WINDOWS
                     else {"start_new_session": True})
        try:
            return subprocess.Popen([command, *entry.args], env=environment, cwd=entry.cwd,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, bufsize=2**16, **own_group)
        except (OSError, ValueError) as problem:
            raise StartFailed(f"{command} could not be started: {problem}") from None

    # -- called by any thread

    def send(self, message):
        self._outbox.put(encode(message))

    def close(self):
        """Begin the three steps; returns at once. `join` waits for the end."""
        if self.pid is None:
            return  # it never started
        self._outbox.close()  # NAME-writer then closes stdin
        for seconds, number in ((GRACE, signal.SIGTERM), (2 * GRACE, KILL)):
            self._clock.after(seconds, self._signal, number)

    def kill(self):
        """The third step at once."""
        self._outbox.close()
        self._signal(KILL)

    def join(self, seconds):
        """Wait for the process and its group to end; False if they have not by then."""
        if self.pid is None:
            return True  # it never started
        if not self._ended.wait(seconds):
            return False
        for thread in self._threads:
            # Not for long: a process that has left the group may hold the pipe open.
            if thread.is_alive():
                thread.join(min(seconds, DRAIN))
        return True

    def last_lines(self):
        """The last lines of stderr, oldest first, without the secrets of the config."""
        return list(self._last_lines)

    def _signal(self, number):
        with self._lock:  # also while we signal, so that nobody reaps it before
            if not self._reaped:
                signal_group(self.pid, number)

    def _broken(self, reason):
        """A pipe has ended. Its thread has nothing left to do, so it may wait here: mostly the
        process is ending too, and its exit status says more than the end of the pipe."""
        if not self._exited.wait(DRAIN):
            self._report(reason)
        self.close()

    def _report(self, reason):
        with self._lock:
            if self._reported:
                return
            self._reported = True
        try:
            self._on_closed(reason)
        except Exception:  # a bug of ours must not keep the process alive
            log.exception("%s: its end was lost", self.label)

    # -- NAME-reader

    def _read(self):
        with self._process.stdout as stdout:
            while line := stdout.readline(self._longest):
                if len(line) >= self._longest and not line.endswith(b"\n"):
                    line = line[:ENDS] + _skip_rest(stdout, line)
                    problem = InvalidMessage(INTERNAL_ERROR, f"longer than {self._longest} bytes")
                    self._unusable(line, problem)
                elif line := line.strip():
                    self._handle_line(line)
        self._broken("closed its output")

    def _handle_line(self, line):
        try:
            self._on_message(decode(line))
        except InvalidMessage as problem:
            self._unusable(line, problem)
        except Exception:  # a bug of ours in one message must not end all that follow
            log.exception("%s: one message was lost", self.label)

    def _unusable(self, line, problem):
        """Skip a line that is no message. If it was an answer, its request gets an error in its
        place, since no other answer will come."""
        log.warning("%s: skipped a line of its output: %s: %s", self.label, problem,
                    printable(self.entry.redact(line[:ENDS].decode("utf-8", "replace"), SHOWN)))
        if (id := id_of_answer(line)) is not None:
            self._handle_line(encode(error(
                id, INTERNAL_ERROR, f'server "{self.entry.name}" sent an answer that cannot be '
                                    f"passed on: {problem}")))

    # -- NAME-writer

    def _write(self):
        stdin = self._process.stdin
        try:
            feed_pipe(self._outbox, stdin)
        except OSError:
            self._broken("closed its input")
        finally:
            try:
                stdin.close()
            except OSError:
                pass  # the server is gone: NAME-exit tells the Upstream, which fails the requests

    # -- NAME-stderr

    def _drain_stderr(self):
        with self._process.stderr as stderr:
            while line := stderr.readline(2**16):  # to the end: a full pipe blocks the server
                if text := printable(self.entry.redact(line.decode("utf-8", "replace")).strip()):
                    self._last_lines.append(text)
                    log.info("%s: %s", self.label, text)
                _skip_rest(stderr, line)

    # -- NAME-exit

    def _await_exit(self):
        reason = "has ended"
        try:
            reason = self._reason_of_exit(self._wait())
        finally:  # whatever fails above
            self._report(reason)
            self._end_group()

    def _wait(self):
        """Wait for the process to exit; returns its status as Popen has it.

        It is not reaped yet if the system can wait without that: until it is, no other process
        and no other group gets its number.
        """
        try:
            end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            status = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
        except (AttributeError, ChildProcessError):
            # There is no waitid on Windows, and none on macOS before Python 3.13. Where SIGCHLD is
            # ignored, as our parent may have told us, the system reaps, and nobody gets a status.
            status = self._process.wait()
        self._exited.set()
        return status

    def _reason_of_exit(self, status):
        self._outbox.close()
        self._reader.join(DRAIN)   # what the server said before it died still counts
        self._stderr.join(DRAIN)
        reason = (f"was ended by {_name_of_signal(-status)}" if status < 0
                  else f"exited with status {status}")
        last = self._last_lines[-1] if self._last_lines else None
        return f"{reason}: {last}" if last else reason

    def _end_group(self):
        """End what is left: a child of the server may hold its stdout, or nothing of ours."""
        if self._reader.is_alive():
            self._signal(signal.SIGTERM)
            self._reader.join(GRACE)
        self._signal(KILL)
        self._guardian.release(self.pid)
        with self._lock:
            self._reaped = True
            self._process.wait()  # does not block: it has exited
        self._ended.set()


def _name_of_signal(number):
    try:
        return signal.Signals(number).name
    except ValueError:  # most realtime signals have no name
        return f"signal {number}"


def _skip_rest(pipe, line):
    """Read on to the end of a line, if this is not all of it; returns its last bytes."""
    tail = line[-ENDS:]
    while line and not line.endswith(b"\n"):
        line = pipe.readline(2**20)
        tail = (tail + line)[-ENDS:]
    return tail


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
