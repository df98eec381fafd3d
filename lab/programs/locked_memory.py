# SPDX-License-Identifier: Apache-2.0
# A process whose memory nobody can read, given a file of a server that never
# answers. Reading its own memory through /proc takes the lock on it and waits
# for the file's page; mapping takes the lock for writing, behind which every
# other reader queues up.
import mmap
import os
import sys
import threading
import time

file = os.open(sys.argv[1], os.O_RDONLY)
page = mmap.mmap(file, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
with open('/proc/self/maps') as maps:
    address = next(int(line.split('-')[0], 16) for line in maps if line.rstrip().endswith(sys.argv[1]))
memory = os.open('/proc/self/mem', os.O_RDONLY)
threading.Thread(target=os.pread, args=(memory, 1, address), daemon=True).start()
time.sleep(0.2)
mmap.mmap(-1, 1 << 20)
