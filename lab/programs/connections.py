# SPDX-License-Identifier: Apache-2.0
"""Connections of one kind, bounded in number and time.

connections.py serve ADDRESS PORT             answers lines, swallows the rest
connections.py closing ADDRESS PORT N RATE    N connections at once, then RATE a second, none used twice
connections.py pool ADDRESS PORT N            N connections, each used over and over
connections.py blast ADDRESS PORT             one connection, as fast as it goes
connections.py datagrams ADDRESS N            N flows of one datagram each
"""
import asyncio
import socket
import sys
import time

END = time.monotonic() + 120


async def answer(reader, writer):
    try:
        while data := await reader.read(1 << 20):
            if len(data) < 100:
                writer.write(data)
    except ConnectionError:
        pass
    writer.close()


async def serve(address, port):
    server = await asyncio.start_server(answer, address, int(port), backlog=4096)
    print(f"listening {address}:{port}", flush=True)
    async with server:
        await asyncio.sleep(END - time.monotonic())


def ask(conn):
    conn.sendall(b"hello\n")
    conn.recv(100)


def closing(address, port, count, rate):
    for n in range(10**9):
        if n == int(count):
            print("listening filled:0", flush=True)
        if n >= int(count):
            time.sleep(1 / float(rate))
        if time.monotonic() > END:
            return
        try:
            with socket.create_connection((address, int(port)), 1) as conn:
                ask(conn)
        except OSError:
            pass


def pool(address, port, count):
    conns = [socket.create_connection((address, int(port))) for _ in range(int(count))]
    print("listening filled:0", flush=True)
    while time.monotonic() < END:
        for conn in conns:
            ask(conn)
        time.sleep(0.1)


def blast(address, port):
    with socket.create_connection((address, int(port))) as conn:
        print("listening filled:0", flush=True)
        while time.monotonic() < END:
            conn.sendall(bytes(1 << 18))


def datagrams(address, count):
    left = int(count)
    while left > 0:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for port in range(1024, min(61024, 1024 + left)):
                try:
                    s.sendto(b"x", (address, port))
                except OSError:
                    pass
        left -= 60000
    print("listening filled:0", flush=True)
    time.sleep(max(0, END - time.monotonic()))


def main(mode, *args):
    if mode == "serve":
        asyncio.run(serve(*args))
    else:
        {"closing": closing, "pool": pool, "blast": blast, "datagrams": datagrams}[mode](*args)


main(*sys.argv[1:])
