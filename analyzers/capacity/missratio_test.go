// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"testing"
)

// TestMissRatio checks sizes of a cache under uniform reads of 8 keys, half of all reads,
// while the others are of new keys.
func TestMissRatio(t *testing.T) {
	m := &MissRatio{Bounds: []float64{2, 4, 8, 16}, Again: []float64{25, 25, 50, 0, 0}, First: []float64{0, 0, 0, 0, 100}, Seen: []float64{0, 0, 0, 0, 200}, Reads: 200}
	for keys, want := range map[float64]float64{2: 0.125, 3: 0.1875, 4: 0.25, 8: 0.5, 16: 0.5} {
		if hit, reads := m.At(keys); math.Abs(hit-want) > 1e-9 || reads != 200 {
			t.Errorf("hit ratio with %v keys = %v of %v reads, want %v of 200", keys, hit, reads, want)
		}
	}
	if _, reads := m.At(17); reads != 0 {
		t.Errorf("17 keys are known from %v reads, want none", reads)
	}
}

// TestMissRatioAtTheBeginning checks that reads before as many keys were seen do not count:
// the first read of a key is a miss in each cache that is smaller than the keys before.
func TestMissRatioAtTheBeginning(t *testing.T) {
	m := &MissRatio{Bounds: []float64{2, 4}, Again: []float64{50, 0, 0}, First: []float64{2, 2, 46}, Seen: []float64{4, 4, 92}, Reads: 100}
	hit, reads := m.At(4)
	if want := 1 - 46.0/92; math.Abs(hit-want) > 1e-9 || reads != 92 {
		t.Errorf("hit ratio = %v of %v reads, want %v of 92", hit, reads, want)
	}
}
