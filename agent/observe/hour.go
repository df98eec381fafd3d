// SPDX-License-Identifier: Apache-2.0

package observe

// An Hour is what one instance of a container or service used in an hour. With several
// instances on a host it is the most that one of them used.
type Hour struct {
	// At is the start of the hour, in seconds from now: 0 or less.
	At float64
	// OfWeek is the hour of the week, 0 to 167, in UTC.
	OfWeek int
	// Seconds is the time for which it was observed.
	Seconds float64
	// Mean, High and Peak are the cores used: over the hour, in the busiest five minutes,
	// and in the busiest reading, which covers one to five seconds. Start is the busiest
	// reading while it started, which the others leave out.
	Mean, High, Peak, Start float64
	// Throttled is the time for which its CPU quota throttled it, in seconds per second.
	Throttled float64
	// Need is the highest memory that cannot be reclaimed, Working the same with the page
	// cache that is in use (the working set of the kubelet), in bytes.
	Need, Working float64
	// Kills is the number of its processes that were OOM-killed.
	Kills float64
}
