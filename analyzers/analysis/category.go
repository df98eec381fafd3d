// SPDX-License-Identifier: Apache-2.0

package analysis

import "slices"

// A Category is the part of a backend that an analyzer evaluates. Docs, reports and
// dashboards group findings by it.
type Category string

// Categories, in the order of the documentation.
const (
	// CategoryEventLoop is for one thread that serves every request in turn, and
	// for the pool of threads behind it.
	CategoryEventLoop Category = "event-loop"
	// CategoryCPU is for threads that wait for a CPU, a core or a lock.
	CategoryCPU Category = "cpu"
	// CategoryCapacity is for resources of a whole machine: CPUs, memory, disks,
	// network.
	CategoryCapacity Category = "capacity"
	// CategoryQueues is for work that waits in a queue for a worker.
	CategoryQueues Category = "queues"
	// CategoryContainers is for limits and requests of a container or cgroup.
	CategoryContainers Category = "containers"
	// CategoryBalance is for load that several workers share unequally.
	CategoryBalance Category = "balance"
	// CategoryCaching is for reads of storage or of a database that more memory would
	// avoid.
	CategoryCaching Category = "caching"
	// CategoryMemory is for memory of a process over time: growth and collection.
	CategoryMemory Category = "memory"
	// CategoryConnections is for descriptors, sockets, ports and connection tables.
	CategoryConnections Category = "connections"
)

// Categories lists every category in the order of the documentation.
var Categories = []Category{
	CategoryEventLoop, CategoryCPU, CategoryCapacity, CategoryQueues, CategoryContainers,
	CategoryBalance, CategoryCaching, CategoryMemory, CategoryConnections,
}

// Valid reports whether c is one of Categories.
func (c Category) Valid() bool { return slices.Contains(Categories, c) }

// Number returns the position of c in Categories, starting at 1, which version 1 of
// the report has as row. It returns 0 for an unknown category.
func (c Category) Number() int { return slices.Index(Categories, c) + 1 }
