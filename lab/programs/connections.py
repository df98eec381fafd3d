# SPDX-License-Identifier: Apache-2.0
"""Connections of one kind, bounded in number and time.

connections.py serve ADDRESS PORT             answers lines, swallows the rest
connections.py deferred ADDRESS PORT RATE     a listener that waits for data (TCP_DEFER_ACCEPT), and RATE new clients a second
connections.py closing ADDRESS PORT N RATE    N connections at once, then RATE a second, none used twice
connections.py pool ADDRESS PORT N            N connections, each used over and over
connections.py blast ADDRESS PORT             one connection, as fast as it goes
connections.py hold ADDRESS PORT N RATE       N connections at once, then RATE more a second, all kept open
connections.py datagrams ADDRESS N RATE       N flows of one datagram each at once, then RATE more a second
connections.py flood ADDRESS PORT N RATE      RATE datagrams a second, N at a time
connections.py frames INTERFACE RATE          RATE frames a second of a protocol that nobody speaks
"""
import asyncio
import resource
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


async def deferred(address, port, rate):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    listener.bind((address, int(port)))
    server = await asyncio.start_server(answer, sock=listener, backlog=511)
    print(f"listening {address}:{port}", flush=True)
    async with server:
        while time.monotonic() < END:
            reader, writer = await asyncio.open_connection(address, int(port))
            await asyncio.sleep(0.5 / float(rate))  # the handshake is over by now
            writer.write(b"hello\n")
            await reader.read(100)
            writer.close()
            await asyncio.sleep(0.5 / float(rate))


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


def hold(address, port, count, rate):
    conns, begin = [], time.monotonic()
    while time.monotonic() < END:
        try:
            conns.append(socket.create_connection((address, int(port)), 1))
        except OSError:  # no port is left
            time.sleep(0.1)
            continue
        if len(conns) == int(count):
            print("listening filled:0", flush=True)
            begin = time.monotonic()
        if len(conns) >= int(count):
            until(begin + (len(conns) - int(count)) / float(rate))


def until(when):
    time.sleep(max(0, when - time.monotonic()))


def flows(address):
    """Sends one datagram from each of many ports to each of many."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for port in range(1024, 61024):
                try:
                    s.sendto(b"x", (address, port))
                except OSError:
                    pass
                yield


def datagrams(address, count, rate):
    begin = None
    for n, _ in enumerate(flows(address), 1):
        if n == int(count):
            print("listening filled:0", flush=True)
            begin = time.monotonic()
        if begin and n % 100 == 0:
            until(END if float(rate) == 0 else begin + (n - int(count)) / float(rate))
        if time.monotonic() > END:
            return


def flood(address, port, count, rate):
    sndbuf_force = 32  # SO_SNDBUFFORCE: what waits on the other side counts as unsent
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, sndbuf_force, 1 << 24)
    print("listening filled:0", flush=True)
    begin, sent, data = time.monotonic(), 0, bytes(1000)
    while time.monotonic() < END:
        for _ in range(int(count)):
            try:
                s.sendto(data, (address, int(port)))
            except OSError:
                pass
        sent += int(count)
        until(begin + sent / float(rate))


def frames(interface, rate):
    local_experiment = 0x88B5  # a type that IEEE 802 keeps free for trials
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((interface, 0))
    print("listening filled:0", flush=True)
    while time.monotonic() < END:
        s.send(b"\xff" * 6 + bytes(6) + local_experiment.to_bytes(2, "big") + bytes(46))
        time.sleep(1 / float(rate))


def main(mode, *args):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if mode in ("serve", "deferred"):
        asyncio.run({"serve": serve, "deferred": deferred}[mode](*args))
    else:
        {f.__name__: f for f in (closing, pool, blast, hold, datagrams, flood, frames)}[mode](*args)


main(*sys.argv[1:])
