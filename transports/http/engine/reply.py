"""A whole HTTP answer, and how it becomes bytes."""

import email.utils
import typing
from http import HTTPStatus

TEXT = ("Content-Type", "text/plain; charset=utf-8")


class Reply(typing.NamedTuple):
    """Also what a Flask view may return: Flask takes a tuple of these three."""

    body: bytes
    status: str
    headers: list = []

    def to_bytes(self, request, is_last):
        """The answer to this Request; `is_last`: the connection ends after it."""
        version = "1.1" if request.version == "1.1" else "1.0"
        lines = [f"HTTP/{version} {self.status}"]
        if not self.status.startswith("204"):  # RFC 9110, 8.6
            lines.append(f"Content-Length: {len(self.body)}")
        if is_last:
            lines.append("Connection: close")
        elif version == "1.0":
            lines.append("Connection: Keep-Alive")
        lines += [f"{name}: {value}" for name, value in [*self.headers, *request.cors]]
        lines += [f"Date: {email.utils.formatdate(usegmt=True)}", "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        return head if request.command == "HEAD" else head + self.body


def plain(status, text, *headers):
    """A reply for people to read."""
    return Reply(f"{text}\n".encode(), f"{status} {HTTPStatus(status).phrase}", [TEXT, *headers])


BUG = plain(500, "A bug in the router; its log says more.")


def reply_to_error(problem):
    """What is no proper request gets waitress's words."""
    status, headers, body = problem.to_response()
    return Reply(body, status, headers)
