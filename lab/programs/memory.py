# SPDX-License-Identifier: Apache-2.0
"""A service that grows where no single process does: memory.py workers|files MB

workers  six processes keep so many megabytes more each second, all together
files    so many megabytes more each second are written to files in /tmp
"""
import os
import socket
import sys
import time

WORKERS = 6
PER_SECOND = 10
mode, amount = sys.argv[1], float(sys.argv[2])
kept = []


def grow(megabytes):
    kept.append(b"x" * int(megabytes * 2**20))


def write(megabytes):
    with open("/tmp/results", "ab") as f:
        f.write(b"x" * int(megabytes * 2**20))


listener = socket.create_server(("127.0.0.1", 0))
print("listening 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
work, share = (grow, amount / WORKERS) if mode == "workers" else (write, amount)
if mode == "workers":
    for _ in range(WORKERS - 1):
        if os.fork() == 0:
            break
began, done = time.monotonic(), 0
while True:
    due = share * (time.monotonic() - began) - done  # on a busy host sleeps are long
    work(due)
    done += due
    time.sleep(1 / PER_SECOND)
