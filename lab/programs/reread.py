# SPDX-License-Identifier: Apache-2.0
"""A service that reads 4 kB at random out of a file, over and over: reread.py FILE"""
import os
import random
import socket
import sys

fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
os.posix_fadvise(fd, 0, size, os.POSIX_FADV_RANDOM)
listener = socket.create_server(("127.0.0.1", 0))
print("listening 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    os.pread(fd, 4096, random.randrange(size // 4096) * 4096)
