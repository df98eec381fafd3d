# SPDX-License-Identifier: Apache-2.0
"""A service with a known load: sized.py MILLISECONDS MB

It uses so many milliseconds of CPU time in each tenth of a second, and keeps so many
megabytes.
"""
import sys
import time

work, kept = float(sys.argv[1]) / 1000, bytearray(int(float(sys.argv[2]) * 2**20))
for i in range(0, len(kept), 4096):
    kept[i] = 1
print("started", flush=True)
due = time.monotonic()
while True:
    until = time.process_time() + work
    while time.process_time() < until:
        pass
    due = max(due + 0.1, time.monotonic() - 0.1)
    time.sleep(max(0, due - time.monotonic()))
