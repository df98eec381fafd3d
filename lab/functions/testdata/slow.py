# SPDX-License-Identifier: Apache-2.0

"""A library of the server in functions.py."""
import time


def spin(seconds):
    end, x = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        x += x % 7 + 1
    return x
