// SPDX-License-Identifier: Apache-2.0

// Package missratio measures how large a cache must be, without a cache. For each access
// to a key it calculates the number of distinct keys that were accessed since the last
// access to the same key: an LRU cache that holds more keys has this one. The
// distribution of these reuse distances is the miss-ratio curve.
//
// It stands between a probe, which hashes keys, and the sampler that exports the
// distribution. It keeps hashes of keys, never keys, and knows nothing of time.
//
// The algorithm is SHARDS of fixed size, with its adjustment of the count: Waldspurger et
// al., "Efficient MRC Construction with SHARDS", FAST 2015. A key is in the sample if its
// hash is below a threshold, so that all accesses to it are. Distances in the sample are
// divided by the share of keys that are in it.
package missratio

import (
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

// bounds are the upper bounds of the buckets of cache sizes, in keys: four per octave, up
// to 16 million.
var bounds = observe.Log2Bounds(4, octaves)

const (
	octaves    = 22
	maxBuckets = 4*octaves + 2 // the last one has no upper bound
)

// A Curve says how many reads hit in an LRU cache of any size. It takes the hashes of keys,
// which must be uniform over all 64 bits. It is for one goroutine.
type Curve struct {
	stack *stack
	total Distribution
	// then and before are the totals of the last two calls of Renew.
	then, before Distribution
	halved       bool
	// seen is the number of keys that were seen, and seenBucket its bucket.
	seen       float64
	seenBucket int
}

// A Distribution counts reads by the cache that they needed to hit. Its numbers only grow.
type Distribution struct {
	// Again counts reads of keys that were accessed before, by the number of keys that a
	// cache must hold to have them: the bounds are those of Bounds.
	Again [maxBuckets]float64
	// First counts reads of keys that were not, by the number of keys that were accessed
	// before: no cache of up to this size has them, and a larger one might have them from
	// before the first access.
	First [maxBuckets]float64
	// Seen counts all reads by the number of keys that were accessed before: only those
	// with more than a size tell whether such a cache has the key.
	Seen [maxBuckets]float64
	// Reads are those of all keys. The sample stands for about as many.
	Reads float64
}

// Bounds returns the upper bounds of the buckets of a Distribution.
func Bounds() []float64 { return slices.Clone(bounds) }

// New returns an empty Curve. Its sample is all keys until they are too many.
func New() *Curve { return &Curve{stack: newStack()} }

// Total returns the distribution of all reads.
func (c *Curve) Total() *Distribution { return &c.total }

// Threshold returns the hash from which on keys are not in the sample. Calls with these
// have no effect.
func (c *Curve) Threshold() uint64 { return c.stack.threshold }

// Weight returns how many keys of all one key of the sample stands for.
func (c *Curve) Weight() float64 { return c.stack.weight }

// Read records a read of a key. It returns the bucket of the cache that it needed to hit;
// again is false if no cache had the key, or if it is not in the sample.
func (c *Curve) Read(key uint64) (bucket int, again bool) {
	if key >= c.stack.threshold {
		return 0, false
	}
	weight := c.stack.weight
	before := c.bucketOfSeen()
	c.total.Seen[before] += weight
	size, again := c.stack.access(key)
	if !again {
		c.total.First[before] += weight
		return 0, false
	}
	bucket, _ = slices.BinarySearch(bounds, size)
	c.total.Again[bucket] += weight
	return bucket, true
}

// bucketOfSeen returns the number of bounds up to the number of keys that were seen.
func (c *Curve) bucketOfSeen() int {
	if seen := c.stack.keysKnown(); seen != c.seen {
		bucket, exact := slices.BinarySearch(bounds, seen)
		if exact {
			bucket++
		}
		c.seen, c.seenBucket = seen, bucket
	}
	return c.seenBucket
}

// Write records that a key was written: a cache that is the store has it then.
func (c *Curve) Write(key uint64) {
	if key < c.stack.threshold {
		c.stack.access(key)
	}
}

// Delete records that a key was deleted: the next read finds it in no cache.
func (c *Curve) Delete(key uint64) { c.stack.forget(key) }

// DeleteAll records that all keys were deleted.
func (c *Curve) DeleteAll() { c.stack.forgetAll() }

// Count adds reads of all keys, whether in the sample or not.
func (c *Curve) Count(reads float64) { c.total.Reads += reads }

// Slow halves the sample until at most a number of accesses per second is in it. accesses are
// those in it in the last seconds.
func (c *Curve) Slow(accesses, seconds, most float64) {
	for n := accesses; n > most*max(seconds, 1); n /= 2 {
		c.Halve()
	}
}

// Halve removes half of the keys from the sample, for a source that is too fast.
func (c *Curve) Halve() {
	c.halved = true
	c.stack.lower(c.stack.threshold / 2)
}

// Restart forgets all keys, because accesses were lost: their order is not known any
// more. It forgets the reads as well, except in Total. The size of the sample remains.
func (c *Curve) Restart() {
	c.stack.forgetAll()
	c.then, c.before = c.total, c.total
}

// Renew forgets the reads before the last Renew, and the keys that were not accessed since
// then. If few keys are left, it begins again with a larger sample.
func (c *Curve) Renew() {
	c.before, c.then = c.then, c.total
	if c.stack.forgetOld(); !c.halved && c.stack.widen() {
		c.Restart()
	}
}

// Reads returns the number of reads of all keys that the curve is about.
func (c *Curve) Reads() float64 { return c.total.Reads - c.before.Reads }

// Reachable returns the share of reads that hit in a cache that is large enough for all
// keys, and is empty at the beginning. ok is false if there was no read.
func (c *Curve) Reachable() (share float64, ok bool) { return c.share(maxBuckets - 1) }

// share returns the share of reads that hit in a cache of the upper bound of a bucket.
// Misses are counted in the sample, and hits are the rest: if the most popular keys are
// not in the sample, it lacks hits in small caches (SHARDS-adj).
func (c *Curve) share(bucket int) (share float64, ok bool) {
	reads := c.Reads()
	if reads <= 0 {
		return 0, false
	}
	misses := c.total.misses(bucket) - c.before.misses(bucket)
	return min(max(1-misses/reads, 0), 1), true
}

// misses returns the number of reads that miss in a cache of the upper bound of a bucket
// that is empty at the beginning.
func (d *Distribution) misses(bucket int) (n float64) {
	for _, reads := range d.Again[bucket+1:] {
		n += reads
	}
	for _, reads := range d.First {
		n += reads
	}
	return n
}

// Size returns how many keys an LRU cache must hold for a share of the hits that are
// reachable. ok is false if none is.
func (c *Curve) Size(of float64) (keys float64, ok bool) {
	reachable, ok := c.Reachable()
	if !ok || reachable == 0 {
		return 0, false
	}
	want, smaller, below := of*reachable, 0.0, 0.0
	for bucket, bound := range bounds {
		share, _ := c.share(bucket)
		if share >= want {
			return below + (bound-below)*(want-smaller)/(share-smaller), true
		}
		smaller, below = share, bound
	}
	return below, true
}
