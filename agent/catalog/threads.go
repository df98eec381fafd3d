// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// What the threads of a service wait for: pools of threads, and locks.
var (
	PoolThreads        = &Metric{Name: "headroom.process.thread_pool.threads", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Threads of the pool of libuv (UV_THREADPOOL_SIZE) of a process that answers requests; 0 until it has work. Absent if the executable has no symbols."}
	PoolActive         = &Metric{Name: "headroom.process.thread_pool.active", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Threads of the pool of libuv that work, at the moment of the reading.", Series: true}
	PoolWaiting        = &Metric{Name: "headroom.process.thread_pool.waiting", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Pieces of work that wait for a thread of the pool of libuv, at the moment of the reading: calls of fs, dns.lookup, crypto, zlib and addons.", Series: true}
	PoolLookups        = internal(&Metric{Name: "headroom.process.thread_pool.lookups", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Threads of the pool of libuv that resolve a name.", Series: true})
	PoolWaitingLookups = internal(&Metric{Name: "headroom.process.thread_pool.lookups.waiting", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Names that wait to be resolved: libuv uses half of its pool for these at most.", Series: true})
	PoolWaitingFiles   = internal(&Metric{Name: "headroom.process.thread_pool.files.waiting", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Calls of the file system that wait for a thread of the pool of libuv.", Series: true})
	// PoolReadings and PoolThreadsIn sample what fills a pool; the second is about Call
	// entities.
	PoolReadings  = internal(&Metric{Name: "headroom.process.thread_pool.waiting.readings", Unit: Count, Kind: Counter, About: Process, Help: "Readings at which work waited for the pool of libuv, and the threads of the process were read.", Zeroed: true})
	PoolThreadsIn = internal(&Metric{Name: "headroom.process.thread_pool.waiting.threads", Unit: Count, Kind: PairCounter, About: Process, Help: "Threads that were in a system call on one file, pipe or socket at these readings, added up.", Zeroed: true})

	// LockReadings and what follows sample the locks for which threads wait while a
	// request waits. LockWaiters and LockHeldIn are about Call entities.
	LockReadings = internal(&Metric{Name: "headroom.process.lock.readings", Unit: Count, Kind: Counter, About: Process, Help: "Readings at which two requests of the process or more were in flight, one for more than a tenth of a second, and its threads were read.", Zeroed: true})
	LockWaited   = internal(&Metric{Name: "headroom.process.lock.waited.readings", Unit: Count, Kind: PairCounter, About: Process, Help: "Those of these readings at which a thread waited for the lock.", Zeroed: true})
	LockWaiters  = internal(&Metric{Name: "headroom.process.lock.waiters", Unit: Count, Kind: PairCounter, About: Process, Help: "Threads that waited for the lock at these readings, added up.", Zeroed: true})
	LockHeldIn   = internal(&Metric{Name: "headroom.process.lock.held.readings", Unit: Count, Kind: PairCounter, About: Process, Help: "Those of these readings at which the thread that holds a mutex was in a system call, for which others waited.", Zeroed: true})
)

var threadMetrics = []*Metric{PoolThreads, PoolActive, PoolWaiting, PoolLookups, PoolWaitingLookups, PoolWaitingFiles, PoolReadings, PoolThreadsIn,
	LockReadings, LockWaited, LockWaiters, LockHeldIn}
