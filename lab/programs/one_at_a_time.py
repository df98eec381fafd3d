# SPDX-License-Identifier: Apache-2.0
"""A server that takes one connection, answers it, and only then takes the
next: each answer waits 100 ms for somebody else."""

import socket
import time

server = socket.create_server(("127.0.0.1", 0), backlog=4)
print("listening 127.0.0.1:%d" % server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        time.sleep(0.1)
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
        except OSError:
            pass  # the client gave up
