"""Clients that cost little: raw sockets under asyncio, one class for each transport.

`await client.open()` does the whole handshake, `await client.call(text, bytes)` one tools/call,
whose answer is checked for its id and its content: an answer of another call or of another
session is an error, and so is a late one.
"""

import asyncio
import itertools
import json

PATIENCE = 20.0     # seconds for one answer
HELLO = {"protocolVersion": "2025-06-18", "clientInfo": {"name": "bench", "version": "1"}}
_names = itertools.count()


class Client:
    """What all of them do; `_send` carries one message, `_answers` are the futures by id."""

    capabilities = {}   # what the client can be asked

    def __init__(self, tool):
        self.tool, self.name = tool, f"client {next(_names)}"
        self._ids, self._answers, self._tasks = itertools.count(1), {}, []

    async def open(self):
        await self._connect()
        await self._ask("initialize", {**HELLO, "capabilities": self.capabilities})
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    async def call(self, bytes=0):
        text = f"{self.name} {next(self._ids)} "
        arguments = {"text": text, "bytes": bytes} if bytes else {"text": text}
        result = await self._ask("tools/call", {"name": self.tool, "arguments": arguments})
        if result["content"][0]["text"] != text + "x" * bytes:
            raise ValueError("an answer that is not mine")

    async def _ask(self, method, params):
        id = next(self._ids)
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        await self._send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        message = await asyncio.wait_for(answer, PATIENCE)
        if "error" in message:
            raise ValueError(message["error"])
        return message["result"]

    def _arrived(self, data):
        message = json.loads(data)
        if "method" not in message and message.get("id") in self._answers:
            answer = self._answers.pop(message["id"])
            if not answer.done():
                answer.set_result(message)

    async def close(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Http(Client):
    """HTTP/1.1 by hand: keep-alive connections that are used by one request at a time."""

    def __init__(self, tool, port, path):
        super().__init__(tool)
        self.port, self.path, self._free, self._all = port, path, [], []

    async def _connection(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
        self._all.append(writer)
        return reader, writer

    async def _post(self, path, message, headers=""):
        """(status, headers, body, or None if it is a stream of events that was read already)"""
        body = json.dumps(message).encode()
        reader, writer = self._free.pop() if self._free else await self._connection()
        writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{headers}"
                     "Accept: application/json, text/event-stream\r\n"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                     .encode() + body)
        status, got = await self._head(reader)
        if "text/event-stream" in got.get("content-type", ""):
            await self._events(self._body(reader, got))
            body = None
        else:
            body = b"".join([chunk async for chunk in self._body(reader, got)])
        if got.get("connection", "").lower() == "close" or not (
                "content-length" in got or "transfer-encoding" in got or status == 202):
            writer.close()
        else:
            self._free.append((reader, writer))
        return status, got, body

    async def _head(self, reader):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def _body(self, reader, headers):
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int((await reader.readline()).split(b";")[0], 16):
                yield await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif "content-length" in headers:
            yield await reader.readexactly(int(headers["content-length"]))
        elif "text/event-stream" in headers.get("content-type", ""):
            while chunk := await reader.read(2**16):
                yield chunk

    async def _events(self, chunks):
        pieces, kind, data = [], b"message", []
        async for chunk in chunks:
            pieces.append(chunk)
            if b"\n" not in chunk:  # a large answer comes in many
                continue
            *lines, left = b"".join(pieces).split(b"\n")
            pieces = [left]
            for line in lines:
                line = line.rstrip(b"\r")
                if line.startswith(b"data:"):
                    data.append(line[5:].lstrip(b" "))
                elif line.startswith(b"event:"):
                    kind = line[6:].strip()
                elif not line:
                    if any(data):
                        self._event(kind, b"\n".join(data))
                    kind, data = b"message", []

    def _event(self, kind, data):
        self._arrived(data)

    async def close(self):
        await super().close()
        for writer in self._all:
            writer.close()


class Sse(Http):
    """HTTP+SSE: the answers come on the stream of a GET."""

    async def _connect(self):
        reader, writer = await self._connection()
        writer.write(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                     "Accept: text/event-stream\r\n\r\n".encode())
        status, headers = await self._head(reader)
        if status != 200:
            raise ValueError(f"GET {self.path}: {status}")
        self._endpoint = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.create_task(self._events(self._body(reader, headers))))
        self.endpoint = await asyncio.wait_for(self._endpoint, PATIENCE)

    def _event(self, kind, data):
        if kind == b"endpoint":
            path = data.decode()
            self._endpoint.set_result("/" + path.split("/", 3)[3] if "://" in path else path)
        else:
            self._arrived(data)

    async def _send(self, message):
        status, _, body = await self._post(self.endpoint, message)
        if status >= 300:
            raise ValueError(f"POST: {status} {body}")


class ByMetaTool(Sse):
    """The same with slop-mcp, where one tool calls all others."""

    async def _ask(self, method, params):
        if method == "tools/call":
            params = {"name": "execute_tool", "arguments": {
                "mcp_name": "fast", "tool_name": params["name"],
                "parameters": params["arguments"]}}
        return await super()._ask(method, params)


class Mcp(Http):
    """Streamable HTTP: the answer comes on the POST."""

    session = ""

    async def _connect(self):
        pass

    async def _send(self, message):
        status, headers, body = await self._post(self.path, message, self.session)
        if status >= 300:
            raise ValueError(f"POST: {status} {body}")
        if "mcp-session-id" in headers:
            self.session = f"Mcp-Session-Id: {headers['mcp-session-id']}\r\n"
        if body:
            self._arrived(body)


class Modern(Http):
    """The same with requests that stand alone: revision 2026-07-28."""

    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": HELLO["clientInfo"],
            "io.modelcontextprotocol/clientCapabilities": {}}

    async def open(self):
        await self._ask("server/discover", {})
        return self

    async def _send(self, message):
        message = {**message, "params": {**message["params"], "_meta": self.meta}}
        name = message["params"].get("name")
        status, _, body = await self._post(
            self.path, message, "MCP-Protocol-Version: 2026-07-28\r\n"
            f"Mcp-Method: {message['method']}\r\n" + (f"Mcp-Name: {name}\r\n" if name else ""))
        if status >= 300:
            raise ValueError(f"POST: {status} {body}")
        self._arrived(body)


class Stdio(Client):
    """Lines on the standard input and output of a program that is ours alone."""

    def __init__(self, tool, command):
        super().__init__(tool)
        self.command = command

    async def _connect(self):
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=-1, stdout=-1, stderr=asyncio.subprocess.DEVNULL, limit=2**24)
        self._tasks.append(asyncio.create_task(self._read()))

    async def _read(self):
        while line := await self.process.stdout.readline():
            self._arrived(line)

    async def _send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        await self.process.stdin.drain()

    async def close(self):
        self.process.stdin.close()
        await self.process.wait()
        await super().close()
