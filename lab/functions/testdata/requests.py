# SPDX-License-Identifier: Apache-2.0

"""A server that answers many short requests: of the work of each, render has 60 %,
sort_rows 30 % and digest 10 %. With the argument "thread" it has no event loop: it serves
one connection after the other."""
import asyncio
import hashlib
import json
import socket
import sys
import time

MS = 0.008
ROWS = [{"id": i, "name": "row %d" % i, "tags": [i % 7, i % 11]} for i in range(200)]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def end(share):
    return time.monotonic() + share * MS


def render():
    until = end(0.6)
    while time.monotonic() < until:
        json.dumps(ROWS)


def sort_rows():
    until = end(0.3)
    while time.monotonic() < until:
        sorted(ROWS, key=lambda r: r["id"] * 7919 % 10007)


def digest():
    until = end(0.1)
    while time.monotonic() < until:
        hashlib.sha256(b"a" * 1000).hexdigest()


def work():
    render()
    sort_rows()
    digest()


async def serve(reader, writer):
    while (await reader.readline()).strip():
        pass
    work()
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def one_after_the_other():
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            work()
            try:
                connection.sendall(ANSWER)
            except OSError:
                pass  # the client gave up


if sys.argv[1:] == ["thread"]:
    one_after_the_other()
else:
    asyncio.run(main())
