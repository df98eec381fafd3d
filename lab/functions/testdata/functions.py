# SPDX-License-Identifier: Apache-2.0

"""A server in which each path blocks the event loop for MS milliseconds in one function."""
import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
import zlib

import slow

MS = 0.12
ROWS = [{"id": i, "name": "row %d" % i, "tags": [i % 7, i % 11]} for i in range(20000)]
TEXT = json.dumps(ROWS)


def until():
    return time.monotonic() + MS


def own_function():
    end, x = until(), 0
    while time.monotonic() < end:
        x += x % 7 + 1
    return x


async def coroutine():
    end, x = until(), 0
    while time.monotonic() < end:
        x += x % 7 + 1
    return x


async def after_sleep():
    await asyncio.sleep(0.001)
    end, x = until(), 0
    while time.monotonic() < end:
        x += x % 7 + 1
    return x


async def outer():
    return await coroutine()


def generator():
    end, x = until(), 0
    while time.monotonic() < end:
        x += x % 7 + 1
    yield x


class Service:
    def method(self):
        end, x = until(), 0
        while time.monotonic() < end:
            x += x % 7 + 1
        return x

    @staticmethod
    def static():
        end, x = until(), 0
        while time.monotonic() < end:
            x += x % 7 + 1
        return x

    @property
    def value(self):
        end, x = until(), 0
        while time.monotonic() < end:
            x += x % 7 + 1
        return x

    def __init__(self, spin=False):
        if spin:
            end, x = until(), 0
            while time.monotonic() < end:
                x += x % 7 + 1

    def __len__(self):
        end, x = until(), 0
        while time.monotonic() < end:
            x += x % 7 + 1
        return x & 1


def größe():
    end, x = until(), 0
    while time.monotonic() < end:
        x += x % 7 + 1
    return x


def 大小():
    end, x = until(), 0
    while time.monotonic() < end:
        x += x % 7 + 1
    return x


def recursive(n, end):
    if n:
        return recursive(n - 1, end)
    x = 0
    while time.monotonic() < end:
        x += x % 7 + 1
    return x


def make_closure():
    def closure():
        end, x = until(), 0
        while time.monotonic() < end:
            x += x % 7 + 1
        return x
    return closure


def via_library():
    return slow.spin(MS)


def parse():
    end = until()
    while time.monotonic() < end:
        json.loads(TEXT)


def serialize():
    end = until()
    while time.monotonic() < end:
        json.dumps(ROWS)


def match():
    end = until()
    while time.monotonic() < end:
        re.match(r"^(a+)+$", "a" * 16 + "b")


def hash_password():
    end = until()
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha512", b"p", b"s", 5000)


def compress():
    end = until()
    while time.monotonic() < end:
        zlib.compress(TEXT.encode())


def read_files():
    end = until()
    while time.monotonic() < end:
        with open(__file__, "rb") as f:
            f.read()


def sort_rows():
    end = until()
    while time.monotonic() < end:
        sorted(ROWS, key=lambda r: r["id"] * 7919 % 10007)


def comprehension():
    end = until()
    while time.monotonic() < end:
        [r["id"] * 2 for r in ROWS]


def run_child():
    return subprocess.run(["sleep", "0.12"]).returncode


def sleep():
    time.sleep(MS)


service = Service()
PATHS = {
    "own_function": own_function, "coroutine": coroutine, "after_sleep": after_sleep, "outer": outer,
    "generator": lambda: next(generator()), "method": service.method, "static": Service.static, "value": lambda: service.value,
    "__init__": lambda: Service(True), "__len__": lambda: len(service), "größe": größe, "大小": 大小,
    "recursive": lambda: recursive(40, until()), "closure": make_closure(), "via_library": via_library, "parse": parse,
    "serialize": serialize, "match": match, "hash_password": hash_password, "compress": compress, "read_files": read_files,
    "sort_rows": sort_rows, "comprehension": comprehension, "run_child": run_child, "sleep": sleep,
}


async def serve(reader, writer):
    line = await reader.readline()
    from urllib.parse import unquote
    run = PATHS.get(unquote(line.split()[1].decode()[1:]))
    while (await reader.readline()).strip():
        pass
    if run:
        done = run()
        if asyncio.iscoroutine(done):
            await done
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
