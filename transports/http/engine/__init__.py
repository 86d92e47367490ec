"""TCP connections and the requests on them: the fast way of a message, in place of waitress's.

Of waitress we use the parser of requests, the task that runs a view, and in http/workers.py the
pool of threads; its socket loop and its connections ("channels") cost a call more than all the
rest. To read this folder, you need not read waitress.

May import: transports.fabric and transports.program.

What we use of waitress that waitress does not document; tests/http/test_engine.py checks that each
name is there. What the files import is not in this list: without it they could not be loaded.

    HTTPRequestParser.received          takes bytes, and returns how many belong to the request
    HTTPRequestParser.parse_header      called once, with all bytes before the body; only sets
                                        attributes, and a new body_rcv
    HTTPRequestParser.expect_continue   True: the client waits for 100 Continue
    HTTPRequestParser.empty             True: these were blank lines, and no request
    HTTPRequestParser.error             what is wrong with the request, or None
    HTTPRequestParser.chunked           True: body_rcv is a ChunkedReceiver
    HTTPRequestParser.body_rcv          a FixedStreamReceiver(content_length, buffer), if there is
                                        a Content-Length; completed is True when all is here
    HTTPRequestParser                   adj body_bytes_received close command completed
                                        content_length get_body_stream headers headers_finished
                                        path query version
    ChunkedReceiver                     control_line trailer
    WSGITask.service                    runs the view, and writes its answer with
                                        channel.write_soon; it reads channel.adj, addr, server and
                                        check_client_disconnected, and server.adj, application,
                                        server_name and effective_port. The function that
                                        start_response returns may be called by any thread
    WSGITask                            close_on_finish response_headers wrote_header
    ThreadedTaskDispatcher.add_task     calls service() of this in one of its threads
    ThreadedTaskDispatcher.start_new_thread     called for each thread, under a lock
    ThreadedTaskDispatcher              queue_logger set_thread_count shutdown threads

Locks. There is one order: an outbox's pen (any thread that has an event writes it), then the lock
of the connection, which is held while the socket takes bytes without waiting.

In reading order:
    connection.py   one TCP connection of a client
    request.py      one request, with a cache of headers
    reply.py        a whole answer
    loop.py         the socket loop
"""
