"""TCP connections and the requests on them: the fast way of a message, in place of waitress's.

Of waitress we use the parser of requests, the task that runs a view, and in http/workers.py the
pool of threads; its socket loop and its connections ("channels") cost a call more than all the
rest. To read this folder, you need not read waitress.

May import: transports.fabric and transports.program.

What we use of waitress that waitress does not document; tests/http/test_engine.py checks that each
name is there. What the files import is not in this list: without it they could not be loaded.

    HTTPRequestParser.received          takes bytes, and returns how many belong to the request
    HTTPRequestParser.completed         True: it takes no more
    HTTPRequestParser.empty             True: these were blank lines, and no request
    HTTPRequestParser.error             what is wrong with the request, or None: to_response()
    HTTPRequestParser.parse_header      called once, with all bytes before the body; only sets
                                        attributes, and a new body_rcv
    HTTPRequestParser.headers_finished  True: it has been called
    HTTPRequestParser.expect_continue   True: the client waits for 100 Continue
    HTTPRequestParser.headers           {"CONTENT_TYPE": text}; beside it command, path, query and
                                        version, as text
    HTTPRequestParser.chunked           True: body_rcv is a ChunkedReceiver
    HTTPRequestParser.content_length    a number
    HTTPRequestParser.body_rcv          a FixedStreamReceiver(content_length, buffer), if there is
                                        a Content-Length; completed is True when all is here
    HTTPRequestParser.body_bytes_received   a number
    HTTPRequestParser.get_body_stream   the body as a file
    HTTPRequestParser.close             drops the body
    ChunkedReceiver.control_line        the size of a chunk, so far
    ChunkedReceiver.trailer             what follows the last chunk, so far
    WSGITask.service                    runs the view, and writes its answer with
                                        channel.write_soon; it reads channel.adj, addr, server and
                                        check_client_disconnected, and server.adj, application,
                                        server_name and effective_port. The function that
                                        start_response returns may be called by any thread
    WSGITask.wrote_header               True: the answer has begun
    WSGITask.close_on_finish            True: the connection ends after this answer
    ThreadedTaskDispatcher.add_task     calls service() of this in one of its threads
    ThreadedTaskDispatcher.set_thread_count     starts threads, or tells some to end
    ThreadedTaskDispatcher.start_new_thread     called for each, under a lock
    ThreadedTaskDispatcher.threads      a number for each thread that runs
    ThreadedTaskDispatcher.shutdown     ends the threads, and waits for them, but not for ever
    ThreadedTaskDispatcher.queue_logger     for warnings that requests wait

Locks. There is one order: an outbox's pen (any thread that has an event writes it), then the lock
of the connection, which is held while the socket takes bytes without waiting.

In reading order:
    connection.py   one TCP connection of a client
    request.py      one request, with a cache of headers
    reply.py        a whole answer
    loop.py         the socket loop
"""
