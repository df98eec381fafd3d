// SPDX-License-Identifier: Apache-2.0

package capacity

import "slices"

// A MissRatio says how many reads hit in a cache that evicts the key that was not used for
// the longest time (docs/science.md, Caches). It has the reads in buckets of cache sizes.
type MissRatio struct {
	Bounds []float64 // upper bounds of the buckets, in keys
	Again  []float64 // reads that need a cache of this size
	First  []float64 // reads that miss, by the number of keys before
	Seen   []float64 // all of them, by the number of keys before
	Reads  float64   // of all keys; the others are counted in a sample
}

// At returns the hit ratio of a cache for a number of keys, and the number of reads from
// which it is known: those when more keys had been seen than fit, before which a read of a
// new key can hit or not.
func (m *MissRatio) At(keys float64) (hit, reads float64) {
	i, _ := slices.BinarySearch(m.Bounds, keys)
	if i >= len(m.Bounds) {
		return 0, 0
	}
	hit, reads = m.bucket(i)
	if i == 0 {
		return hit, reads
	}
	smaller, _ := m.bucket(i - 1)
	share := (keys - m.Bounds[i-1]) / (m.Bounds[i] - m.Bounds[i-1])
	return smaller + share*(hit-smaller), reads
}

// bucket is At for the upper bound of a bucket. Misses are counted in the sample, and
// hits are the rest of all reads.
func (m *MissRatio) bucket(i int) (hit, reads float64) {
	all, missed := 0.0, 0.0
	for j, n := range m.Seen {
		if all += n; j > i {
			missed += m.Again[j] + m.First[j]
			reads += n
		}
	}
	if reads == 0 {
		return 0, 0
	}
	reads *= m.Reads / all
	return min(max(1-missed/reads, 0), 1), reads
}
