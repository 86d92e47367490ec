"""Scripted servers, and connections to them."""

import queue
import ssl
import subprocess
import threading

import pytest
from scripted import Handler, Server

from transports.program.clock import Clock
from upstreams.config.entries import Entry
from upstreams.connections.remote.remote import Remote


@pytest.fixture
def serve():
    """serve({method: script}) starts a server; it has its `url` and what it has `seen`."""
    servers = []

    def start(script=None, context=None, port=0):
        server = Server(("127.0.0.1", port), Handler)
        server.script = script or {}
        server.seen, server.hung_up = queue.SimpleQueue(), queue.SimpleQueue()
        server.release = threading.Event()      # whatever waits in a script
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = (f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/mcp")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return server
    yield start
    for server, thread in servers:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def connect():
    """connect(url, …) starts the connection; what it says and its end come out of `.said`."""
    clock, made = Clock(), []
    clock.start()

    def start(url, longest=2**26, **more):
        remote = Remote(Entry("far", url=url, **more), "far", clock, longest)
        made.append(remote)
        remote.said = queue.SimpleQueue()
        remote.start(remote.said.put, lambda *how: remote.said.put(("closed", *how)))
        return remote
    yield start
    for remote in made:
        remote.close()
    for remote in made:
        assert remote.join(30)
    clock.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a key and a certificate for 127.0.0.1, its own CA."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out",
         f"{file}.crt"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file.write_text(file.read_text() + file.with_name("both.pem.crt").read_text())
    return str(file)


@pytest.fixture
def serve_tls(serve, certificate):
    def start(script=None, ask_for_one=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if ask_for_one:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificate)
        return serve(script, context)
    return start
