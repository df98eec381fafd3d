# SPDX-License-Identifier: Apache-2.0
# A process whose memory cannot be read. Its argument is a file of a server that never
# answers. Reading its own memory through /proc takes the memory lock and waits for
# the file's page; mapping requests the lock for writing, and all other readers queue
# behind that.
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
