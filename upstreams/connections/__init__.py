"""What carries the messages between an Upstream and its server.

May import: transports.fabric.

In reading order:
    process.py      a child process
    programs.py     what to install for a command that was not found
    guardian.py     a small process that ends the servers of a router that was killed
    remote.py       a server that is reached by URL
    posts.py        one message on its way to it, and the answer
    server_stream.py    what a legacy one says of its own accord
    post_threads.py     threads that send one message each, and wait for what it answers
    headers.py      the headers of our requests: the config's, and those that messages demand
    param_headers.py    parameters of a tool that are sent as headers too
    http_errors.py  what an HTTP error says
    event_stream.py     bytes of text/event-stream become events
    exchange.py     one HTTP request and its answer, on a socket that is kept
    server_socket.py    a TCP connection, with TLS and through a proxy
"""
