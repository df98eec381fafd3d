# SPDX-License-Identifier: Apache-2.0
"""The work of the Python servers: burn takes CPU time, block sleeps."""

import time
from urllib.parse import parse_qs, urlsplit


def burn(ms):
    end = time.thread_time() + ms / 1000
    total = 0
    while time.thread_time() < end:
        for i in range(1000):
            total = (total * 31 + i) & 0xFFFF
    return total


def block(ms):
    time.sleep(ms / 1000)


def answer(path, ms):
    if path == "/burn":
        burn(ms)
    elif path == "/block":
        block(ms)
    return b"ok\n"


def answer_url(url):
    parts = urlsplit(url)
    return answer(parts.path, float(parse_qs(parts.query).get("ms", ["0"])[0]))
