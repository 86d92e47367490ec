"""waitress, subclassed for speed. To read this room, you need not read waitress.

May import: transports.fabric and transports.program.

What it uses of waitress that waitress does not document; tests/test_engine.py checks that each
name is there. What the files import is not in this list: without it they could not be loaded.

    HTTPChannel.requests            [Parser]; the first is being served. Under requests_lock
    HTTPChannel.requests_lock       held while a request is added or removed; add_task is called
                                    under it
    HTTPChannel.outbuf_lock         a Condition on an RLock; held while bytes are added or sent
    HTTPChannel.total_outbufs_len   how many bytes are unsent
    HTTPChannel.connected           False once the client has gone
    HTTPChannel.will_close          True: the loop closes the socket at its next turn
    HTTPChannel.close_when_flushed  the same, once all is sent
    HTTPChannel.last_activity       when bytes were received or sent, or a request was served
    HTTPChannel.socket              None once it is closed
    HTTPChannel.adj                 the settings, of all channels together; recv_bytes,
                                    inbuf_overflow, and outbuf_high_watermark, which is read anew
                                    each time
    HTTPChannel.server              what it was made with
    HTTPChannel.parser_class        called with adj, for each request
    HTTPChannel.task_class          called with (channel, request), by service
    HTTPChannel.readable            asked by the loop, in MainThread; ours in any thread as well
    HTTPChannel.writable            the same
    HTTPChannel.handle_read         MainThread: there is something to read; replaced by ours
    HTTPChannel.received            parses bytes; add_task for the first request
    HTTPChannel.handle_write        MainThread: sends what is unsent; closes, see above
    HTTPChannel.handle_close        the connection has ended, from either side. MainThread; or a
                                    worker that cannot send 100 Continue, which ours corrects
    HTTPChannel.service             serves requests[0] to its end with a task, removes it, and
                                    calls add_task if another waits. One thread at a time
    HTTPChannel.write_soon          adds bytes, and sends them if the socket takes them. Waits
                                    while more than outbuf_high_watermark is unsent; raises
                                    ClientDisconnected. In the thread of service, or in ours
    HTTPChannel._flush_outbufs_below_high_watermark    the waiting, in write_soon and in service
    HTTPChannel.check_client_disconnected   in each WSGI environ, bound: environ
                                    ["waitress.client_disconnected"].__self__ is the channel
    HTTPRequestParser.received      takes bytes, and returns how many belong to the request
    HTTPRequestParser.completed     True: it takes no more
    HTTPRequestParser.expect_continue   True: the channel sends 100 Continue and sets completed to
                                    False, whether or not a body is to come
    HTTPRequestParser.chunked       True: body_rcv is a ChunkedReceiver
    HTTPRequestParser.parse_header  called once, with all bytes before the body; only sets
                                    attributes, and a new body_rcv
    HTTPRequestParser.body_rcv      a FixedStreamReceiver(content_length, buffer), if there is a
                                    Content-Length
    HTTPRequestParser.content_length    a number
    ChunkedReceiver.control_line    the size of a chunk, so far
    ChunkedReceiver.trailer         what follows the last chunk, so far
    FixedStreamReceiver.completed   True: the whole body is here; of the other one as well
    HTTPRequestParser.headers       {"CONTENT_TYPE": text}
    HTTPRequestParser.command       "POST"
    HTTPRequestParser.path          as text, unquoted
    HTTPRequestParser.query         as text
    HTTPRequestParser.error         what is wrong with the request, or None
    HTTPRequestParser.body_bytes_received   a number
    HTTPRequestParser.get_body_stream   the body as a file
    Task.service                    calls execute; an OSError in it ends the connection
    Task.complete                   True: status and response_headers are set
    Task.wrote_header               True: nothing else is to be written at the end
    Task.set_close_on_finish        the connection ends after this answer, which says so
    Task.build_response_header      the bytes of status and headers, as HTTP 1.0 or 1.1 wants
    Task.content_length             None, or what the header will say
    WSGITask.execute                calls the application; the function that start_response
                                    returns may be called by any thread
    ThreadedTaskDispatcher.threads      a number for each thread that runs
    ThreadedTaskDispatcher.start_new_thread     called for each, under a lock
    ThreadedTaskDispatcher.queue_logger     for warnings that requests wait
    TcpWSGIServer.channel_class     called with (server, socket, address, adj, map) by accept
    TcpWSGIServer.accepting         True for what listens
    TcpWSGIServer.pull_trigger      wakes the loop. Any thread, maybe under outbuf_lock
    TcpWSGIServer.task_dispatcher   the workers: add_task(one with service), set_thread_count,
                                    shutdown. Any thread
    TcpWSGIServer.handle_read_event     called by wasyncore.read, in MainThread
    TcpWSGIServer.handle_write_event    called by wasyncore.write, in MainThread
    TcpWSGIServer._map              {file descriptor: dispatcher}, our Sockets: entered when a
                                    socket is made, deleted before it is closed
    TcpWSGIServer._fileno           its file descriptor; None once it is closed

Locks. There is one order: an outbox's pen (any thread that has an event writes it), then
outbuf_lock (write_soon), then that of Sockets (pull_trigger asks it whether to wake the loop).
Sockets holds its lock while it asks a connection what it wants, which needs outbuf_lock: so that
one is only tried, never waited for. requests_lock is waitress's own: add_task is called under it
and takes outbuf_lock for a moment, and nobody takes them the other way round.

In reading order:
    connection.py   one TCP connection of a client
    parser.py       one request, with a cache of headers
    sockets.py      the socket loop
    workers.py      the worker threads
"""
