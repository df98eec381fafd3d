# SPDX-License-Identifier: Apache-2.0
"""An HTTP server whose two threads serve one connection each: each request calls an
upstream, whose port is the argument. Without an argument it is that upstream, which
takes 1.5 s."""

import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor


def upstream(connection):
    while connection.recv(100):
        time.sleep(1.5)
        connection.sendall(b"done\n")


def serve(connection):
    with connection, socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as upstream:
        connection.recv(4096)
        upstream.sendall(b"x")
        upstream.recv(100)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")


listener = socket.create_server(("127.0.0.1", 0), backlog=256)
print("listening 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
if len(sys.argv) < 2:
    while True:
        threading.Thread(target=upstream, args=(listener.accept()[0],), daemon=True).start()
with ThreadPoolExecutor(2) as pool:
    while True:
        pool.submit(serve, listener.accept()[0])
