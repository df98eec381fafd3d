# SPDX-License-Identifier: Apache-2.0
"""Exchange rates over HTTP: asyncio and the standard library, nothing else."""

import asyncio
import json
import os
import random
import signal
import socket
import time

RATES = {"EUR": 0.92, "GBP": 0.79, "JPY": 156.0, "CHF": 0.88, "SEK": 10.4}
IDLE_SECONDS = 75  # longer than any client keeps an idle connection
REQUEST_SECONDS = 5
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
DEFAULTS = {"rates.backlog": 100, "rates.refresh_ms": 0}

settings = dict(DEFAULTS)


def log(level, message, **fields):
    print(json.dumps({"time": time.time(), "level": level, "service": "rates", "message": message, **fields}), flush=True)


class Metrics:
    """The service's own indicators, as Prometheus reads them."""

    def __init__(self):
        self.requests, self.errors, self.seconds = 0, 0, 0.0
        self.buckets = [0] * len(BUCKETS)

    def observe(self, seconds, status):
        self.requests += 1
        self.seconds += seconds
        self.errors += status >= 500
        for n, bound in enumerate(BUCKETS):
            self.buckets[n] += seconds <= bound

    def text(self):
        name = "rates_request_duration_seconds"
        lines = [f"# TYPE {name} histogram"]
        lines += [f'{name}_bucket{{le="{bound}"}} {count}' for bound, count in zip(BUCKETS, self.buckets)]
        lines += [f'{name}_bucket{{le="+Inf"}} {self.requests}', f"{name}_sum {self.seconds}", f"{name}_count {self.requests}"]
        lines += ["# TYPE rates_errors_total counter", f"rates_errors_total {self.errors}"]
        return "\n".join(lines) + "\n"


metrics = Metrics()


def quote(currency):
    """Rates are the bank's, asked for with a plain blocking client when they are to be fresh."""
    time.sleep(settings["rates.refresh_ms"] / 1000)
    return {"currency": currency, "rate": round(RATES[currency] * random.uniform(0.99, 1.01), 4)}


def answer(path):
    if path == "/healthz":
        return 200, "application/json", '{"ok": true}'
    if path == "/metrics":
        return 200, "text/plain; version=0.0.4", metrics.text()
    currency = path.removeprefix("/rates/")
    if currency not in RATES:
        return 404, "application/json", '{"error": "no such currency"}'
    return 200, "application/json", json.dumps(quote(currency))


async def read_request(reader):
    """The path, and whether the connection stays; None at the end of it."""
    line = await asyncio.wait_for(reader.readline(), IDLE_SECONDS)
    if not line:
        return None
    _, path, version = line.decode("latin-1").split()
    keep = version == "HTTP/1.1"
    while header := (await asyncio.wait_for(reader.readline(), REQUEST_SECONDS)).strip().lower():
        if header == b"connection: close":
            keep = False
    return path, keep


async def serve(reader, writer):
    try:
        keep = True
        while keep and (request := await read_request(reader)):
            path, keep = request
            began = time.monotonic()
            status, kind, body = answer(path)
            head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
            writer.write((head + body).encode())
            await writer.drain()
            metrics.observe(time.monotonic() - began, status)
    except (ConnectionError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError):
        pass  # the client's affair
    finally:
        writer.close()


async def read_settings(host, port):
    """HGETALL over Redis's own protocol: an array of bulk strings, name and value by turns."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"*2\r\n$7\r\nHGETALL\r\n$13\r\nshop:settings\r\n")
        count = int((await reader.readline())[1:])
        words = []
        for _ in range(count):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2].decode())
        stored = dict(zip(words[::2], words[1::2]))
        return {name: float(stored.get(name, default)) for name, default in DEFAULTS.items()}
    finally:
        writer.close()


async def main():
    port = int(os.environ["PORT"])
    redis = os.environ["REDIS_URL"].removeprefix("redis://").split(":")
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    listener = socket.create_server((os.environ.get("LISTEN", "127.0.0.1"), port))
    server = await asyncio.start_server(serve, sock=listener, backlog=int(settings["rates.backlog"]))
    log("info", "started", port=port)
    while not stop.is_set():
        try:
            fresh = await asyncio.wait_for(read_settings(redis[0], int(redis[1])), 2)
            moved = fresh["rates.backlog"] != settings["rates.backlog"]
            settings.update(fresh)
            if moved:  # the length of a backlog is given when listening
                listener.listen(int(settings["rates.backlog"]))
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            log("warn", "settings not read", error=str(error))
        try:
            await asyncio.wait_for(stop.wait(), 1)
        except asyncio.TimeoutError:
            pass
    server.close()
    await asyncio.sleep(0.2)  # what is being answered


if __name__ == "__main__":
    asyncio.run(main())
