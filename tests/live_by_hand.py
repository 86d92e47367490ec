"""What the live page asks of the router, without a browser."""

import http.client
import json
import urllib.error
import urllib.request


def ask(running, path, method="GET", **headers):
    """(status, headers, body); only the head is read of a stream."""
    request = urllib.request.Request(running.url + path, method=method, headers={
        name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            is_stream = "event-stream" in response.headers.get("Content-Type", "")
            return response.status, response.headers, "" if is_stream else \
                response.read().decode()
    except urllib.error.HTTPError as response:
        with response:
            return response.code, response.headers, response.read().decode()


def ask_to_act(running, path, **headers):
    """(status, body) of a POST, as a button of the page sends it: ask_to_act(…, "fake/stop")."""
    return ask(running, f"/live/servers/{path}", "POST", **headers)[::2]


class Page:
    """An open page: `until(condition)` reads on, until that is true of what it has seen."""

    def __init__(self, running, **headers):
        self._connection = http.client.HTTPConnection(running.url.split("/")[2], timeout=20)
        self._connection.request("GET", "/live/events", headers=headers)
        self.response = self._connection.getresponse()
        assert self.response.status == 200
        self.hello = self.state = None
        self.messages, self.lines, self.missed = [], [], 0

    def until(self, condition):
        while not condition(self):
            assert self.read(), "the stream has ended"
        return self

    def read(self):
        """Read one event; False at the end of the stream."""
        line = self.response.readline()
        if line.startswith(b"event: "):
            kind = line[len("event: "):].strip()
            data = json.loads(self.response.readline()[len("data: "):])
            if kind == b"messages":
                self.messages += data
            elif kind == b"log":
                self.lines += data
            elif kind == b"missed":
                self.missed += data["missed"]
            else:
                vars(self)[kind.decode()] = data
        return bool(line)

    def server(self, name):
        (found,) = [one for one in self.state["servers"] if one["name"] == name]
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.response.close()
        self._connection.close()
