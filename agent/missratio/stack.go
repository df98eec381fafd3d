// SPDX-License-Identifier: Apache-2.0

package missratio

import (
	"math"
	"math/bits"
	"slices"
)

const (
	// maxKeys is the number of keys in the sample: with 8,192 the mean error on
	// public traces is below 0.004, see docs/science.md.
	maxKeys = 8192
	// kept is how many of them are left after a reduction. The paper drops one key at a
	// time, which takes a heap.
	kept = maxKeys * 7 / 8
	// fewKeys is the number of keys in the sample below which sizes are too uncertain.
	fewKeys = maxKeys / 4
	// slots is how many accesses are recorded before they are renumbered.
	slots = 4 * maxKeys

	wordBits   = 64
	blockWords = 16
	blockBits  = wordBits * blockWords
)

// A stack orders the keys of the sample by their last access. It takes 0.6 MB.
type stack struct {
	threshold uint64  // the hash below which keys are in the sample
	weight    float64 // how many keys of all one key of the sample stands for

	// Each access takes the next slot. A slot is live if it is the last one of its key.
	// The live slots above that of a key are the distinct keys accessed since.
	last  map[uint64]uint16 // the live slot of each key
	keys  [slots]uint64     // the key of each slot
	live  [slots / wordBits]uint64
	block [slots / blockBits]uint16 // live slots of each block
	next  int
	old   int // slots below it are of before the last forgetOld
}

func newStack() *stack {
	return &stack{threshold: math.MaxUint64, weight: 1, last: make(map[uint64]uint16, maxKeys+1)}
}

// access records an access to a key of the sample. It returns how many keys an LRU cache
// must hold to have this one, and whether the key was accessed before.
func (s *stack) access(key uint64) (size float64, again bool) {
	if s.next == slots {
		s.renumber()
	}
	slot, again := s.last[key]
	if again {
		size = 1 + float64(s.above(int(slot)))*s.weight
		s.clear(int(slot))
	}
	s.set(s.next, key)
	s.next++
	if len(s.last) > maxKeys {
		s.shrink()
	}
	return size, again
}

// forget removes a key: it was deleted, and the next access to it finds nothing.
func (s *stack) forget(key uint64) {
	if slot, ok := s.last[key]; ok {
		s.clear(int(slot))
		delete(s.last, key)
	}
}

// forgetAll removes all keys. The threshold remains.
func (s *stack) forgetAll() {
	clear(s.last)
	clear(s.live[:])
	clear(s.block[:])
	s.next, s.old = 0, 0
}

// forgetOld removes the keys that were not accessed since the last call.
func (s *stack) forgetOld() {
	for slot := range s.old {
		if s.isLive(slot) {
			s.forget(s.keys[slot])
		}
	}
	s.old = s.next
}

// widen makes the sample larger if few keys are in it. It reports whether it did: a key
// that is new in the sample may have been accessed before, so that all has to begin again.
func (s *stack) widen() bool {
	if s.threshold == math.MaxUint64 || len(s.last) >= fewKeys {
		return false
	}
	share := float64(s.threshold) / math.MaxUint64 * kept / float64(len(s.last)+1)
	s.threshold, s.weight = math.MaxUint64, 1
	if share < 1 {
		s.threshold, s.weight = uint64(share*math.MaxUint64), 1/share
	}
	return true
}

// keysKnown returns how many keys the sample stands for.
func (s *stack) keysKnown() float64 { return float64(len(s.last)) * s.weight }

func (s *stack) set(slot int, key uint64) {
	s.last[key], s.keys[slot] = uint16(slot), key
	s.live[slot/wordBits] |= 1 << (slot % wordBits)
	s.block[slot/blockBits]++
}

func (s *stack) clear(slot int) {
	s.live[slot/wordBits] &^= 1 << (slot % wordBits)
	s.block[slot/blockBits]--
}

func (s *stack) isLive(slot int) bool { return s.live[slot/wordBits]>>(slot%wordBits)&1 == 1 }

// above returns the number of live slots above one.
func (s *stack) above(slot int) int {
	word, block := slot/wordBits, slot/blockBits
	n := bits.OnesCount64(s.live[word] >> (slot % wordBits) >> 1)
	for _, w := range s.live[word+1 : (block+1)*blockWords] {
		n += bits.OnesCount64(w)
	}
	for _, b := range s.block[block+1:] {
		n += int(b)
	}
	return n
}

// renumber moves the live slots to the beginning, in their order.
func (s *stack) renumber() {
	n, old := 0, 0
	for slot, key := range s.keys {
		if !s.isLive(slot) {
			continue
		}
		if slot < s.old {
			old++
		}
		s.last[key], s.keys[n] = uint16(n), key
		n++
	}
	s.next, s.old = n, old
	clear(s.live[:])
	clear(s.block[:])
	for slot := range n {
		s.live[slot/wordBits] |= 1 << (slot % wordBits)
		s.block[slot/blockBits]++
	}
}

// shrink reduces the sample to the kept keys with the lowest hashes.
func (s *stack) shrink() {
	hashes := make([]uint64, 0, maxKeys+1)
	for key := range s.last {
		hashes = append(hashes, key)
	}
	slices.Sort(hashes)
	s.lower(hashes[kept])
}

func (s *stack) lower(threshold uint64) {
	s.threshold = max(threshold, 1)
	s.weight = math.MaxUint64 / float64(s.threshold)
	for key := range s.last {
		if key >= s.threshold {
			s.forget(key)
		}
	}
}
