# SPDX-License-Identifier: Apache-2.0
"""Uses up a limit of the kernel or the space of a file system, or comes close to it.

used_up.py zombies          forks children and never waits for them
used_up.py pool N           keeps N threads
used_up.py inotify UID N    creates up to N inotify instances as a user
used_up.py log DIR          appends 200 kB a second to a log, after 35 MB
used_up.py rotate DIR       writes 2.5 MB a second to a log that is deleted at 10 MB, beside 35 MB
used_up.py deleted DIR      keeps a deleted log of 50 MB open, beside 12 MB
"""
import ctypes
import os
import sys
import threading
import time


def zombies():
    while True:
        try:
            if os.fork() == 0:
                os._exit(0)
        except BlockingIOError:
            pass
        time.sleep(0.02)


def pool(n):
    for _ in range(int(n)):
        threading.Thread(target=time.sleep, args=(300,), daemon=True).start()
    time.sleep(300)


def inotify(uid, n):
    os.setuid(int(uid))
    libc = ctypes.CDLL(None)
    for _ in range(int(n)):
        if libc.inotify_init1(0) < 0:
            break
    time.sleep(300)


def log(directory):
    with open(directory + "/app.log", "wb", buffering=0) as f:
        f.write(b"x" * 35_000_000)
        while True:
            f.write(b"x" * 20_000)
            time.sleep(0.1)


def rotate(directory):
    with open(directory + "/base", "wb") as f:
        f.write(b"x" * 35_000_000)
    while True:
        with open(directory + "/app.log", "wb", buffering=0) as f:
            for _ in range(40):
                f.write(b"x" * 250_000)
                time.sleep(0.1)
        os.remove(directory + "/app.log")


def deleted(directory):
    f = open(directory + "/old.log", "wb", buffering=0)
    f.write(b"x" * (50 << 20))
    os.remove(directory + "/old.log")
    with open(directory + "/app.log", "wb") as new:
        new.write(b"x" * 12_000_000)
    time.sleep(300)


{"zombies": zombies, "pool": pool, "inotify": inotify, "log": log, "rotate": rotate, "deleted": deleted}[sys.argv[1]](*sys.argv[2:])
