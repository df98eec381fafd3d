// SPDX-License-Identifier: Apache-2.0

package missratio

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// mix spreads the numbers of keys over 64 bits: the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// exact is the distribution of all reads, by counting.
type exact struct {
	last map[uint64]int
	live []int // a Fenwick tree over accesses
	n    int
	size []int // what each read needed; 0 if none suffices
}

func newExact(accesses int) *exact {
	return &exact{last: make(map[uint64]int), live: make([]int, accesses+1)}
}

func (e *exact) add(i, d int) {
	for ; i < len(e.live); i += i & -i {
		e.live[i] += d
	}
}

func (e *exact) upTo(i int) (n int) {
	for ; i > 0; i -= i & -i {
		n += e.live[i]
	}
	return n
}

func (e *exact) access(key uint64, read bool) {
	e.n++
	at, again := e.last[key]
	size := 0
	if again {
		size = len(e.last) - e.upTo(at) + 1
		e.add(at, -1)
	}
	e.add(e.n, 1)
	e.last[key] = e.n
	if read {
		e.size = append(e.size, size)
	}
}

func (e *exact) remove(key uint64) {
	if at, ok := e.last[key]; ok {
		e.add(at, -1)
		delete(e.last, key)
	}
}

// compare returns the mean and the largest difference of the two hit ratios, over a
// hundred cache sizes up to the number of keys, as the paper does: at the next bound, where
// the curve is known.
func compare(e *exact, c *Curve, keys int) (mean, most float64) {
	slices.Sort(e.size)
	never, _ := slices.BinarySearch(e.size, 1)
	const sizes = 100
	for i := 1; i <= sizes; i++ {
		bucket, _ := slices.BinarySearch(bounds, float64(keys*i/sizes))
		end, _ := slices.BinarySearch(e.size, int(bounds[bucket])+1)
		got, _ := c.share(bucket)
		d := math.Abs(got - float64(end-never)/float64(len(e.size)))
		mean += d / sizes
		most = max(most, d)
	}
	return mean, most
}

// An access is a read, a write or a deletion of a key.
type access struct {
	key  uint64
	kind byte
}

// run returns how far the curve is from the exact one.
func run(t *testing.T, accesses []access) (mean, most float64) {
	t.Helper()
	c, e, reads := New(), newExact(len(accesses)), 0
	keys := make(map[uint64]bool)
	for _, a := range accesses {
		keys[a.key] = true
		switch a.kind {
		case 'r':
			reads++
			c.Read(mix(a.key))
			e.access(a.key, true)
		case 'w':
			c.Write(mix(a.key))
			e.access(a.key, false)
		case 'd':
			c.Delete(mix(a.key))
			e.remove(a.key)
		}
	}
	c.Count(float64(reads))
	mean, most = compare(e, c, len(keys))
	t.Logf("%d accesses, %d keys, 1 of %.0f in the sample: mean error %.4f, largest %.4f", len(accesses), len(keys), c.Weight(), mean, most)
	return mean, most
}

// TestError compares curves with those of all reads, with fixed seeds. The share of
// misses is known as well as the share of keys that are in the sample: 1.2 % of it.
func TestError(t *testing.T) {
	type load struct {
		*rand.Rand
		zipf *rand.Zipf
	}
	loads := map[string]func(l load, i int) access{
		"few keys": func(l load, _ int) access { return access{l.Uint64N(5000), 'r'} },
		"uniform":  func(l load, _ int) access { return access{l.Uint64N(60_000), 'r'} },
		"zipf":     func(l load, _ int) access { return access{l.zipf.Uint64(), 'r'} },
		"loop":     func(_ load, i int) access { return access{uint64(i) % 50_000, 'r'} },
		"scan":     func(_ load, i int) access { return access{uint64(i), 'r'} },
		"zipf and scans": func(l load, i int) access {
			if i%3 == 0 {
				return access{uint64(i), 'r'}
			}
			return access{1<<40 + l.zipf.Uint64(), 'r'}
		},
		"writes and deletions": func(l load, _ int) access { return access{l.zipf.Uint64(), "rrrrwwd"[l.IntN(7)]} },
	}
	for name, next := range loads {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			l := load{r, rand.NewZipf(r, 1.01, 1, 1_000_000)}
			accesses := make([]access, 300_000)
			for i := range accesses {
				accesses[i] = next(l, i)
			}
			if mean, _ := run(t, accesses); mean > 0.02 {
				t.Errorf("mean error = %.4f, want at most 0.02", mean)
			}
		})
	}
}

// TestSmallIsExact checks that nothing is estimated while all keys are in the sample.
func TestSmallIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	accesses := make([]access, 200_000) // the slots are renumbered
	for i := range accesses {
		accesses[i] = access{r.Uint64N(maxKeys), "rrwd"[r.IntN(4)]}
	}
	if _, most := run(t, accesses); most > 1e-9 {
		t.Errorf("largest error = %v, want 0", most)
	}
}

func TestDeletedKeysMiss(t *testing.T) {
	c := New()
	for key := range uint64(20) {
		c.Read(mix(key))
	}
	c.Delete(mix(1))
	c.Read(mix(1))
	c.DeleteAll()
	c.Read(mix(2))
	c.Count(22)
	if share, ok := c.Reachable(); share != 0 || !ok {
		t.Errorf("reachable = %v, want 0", share)
	}
	if size, ok := c.Size(0.9); ok {
		t.Errorf("%v keys for 90 %% of no hits", size)
	}
	c.Write(mix(3))
	c.Read(mix(3))
	c.Count(1)
	if share, _ := c.Reachable(); math.Abs(share-1.0/23) > 1e-9 {
		t.Errorf("reachable = %v, want one of 23", share)
	}
}

// TestSize checks the sizes of a loop, of which a smaller cache has nothing.
func TestSize(t *testing.T) {
	const keys, turns = 3000, 20
	c := New()
	if _, ok := c.Reachable(); ok {
		t.Error("a curve without reads knows what is reachable")
	}
	for i := range uint64(keys * turns) {
		c.Read(mix(i % keys))
	}
	c.Count(keys * turns)
	if share, _ := c.Reachable(); math.Abs(share-1+1.0/turns) > 1e-9 {
		t.Errorf("reachable = %v, want all but the first turn", share)
	}
	for _, of := range []float64{0.8, 0.95} {
		if size, _ := c.Size(of); size < 0.83*keys || size > 1.2*keys {
			t.Errorf("size for %v = %v, want %v within a bucket", of, size, keys)
		}
	}
}

// TestRenew checks that reads of long ago are forgotten, but not that they were.
func TestRenew(t *testing.T) {
	c := New()
	read := func() {
		for key := range uint64(100) {
			c.Read(mix(key))
		}
		c.Count(100)
	}
	read()
	c.Renew()
	read()
	if share, _ := c.Reachable(); share != 0.5 || c.Reads() != 200 {
		t.Errorf("reachable = %v of %v reads, want half of 200", share, c.Reads())
	}
	c.Renew()
	if share, _ := c.Reachable(); share != 1 || c.Reads() != 100 {
		t.Errorf("reachable = %v of %v reads, want all of 100", share, c.Reads())
	}
}

// TestHalve checks a source that is too fast.
func TestHalve(t *testing.T) {
	c := New()
	for i := range uint64(400_000) {
		if i%100_000 == 0 {
			c.Halve()
		}
		c.Read(mix(i % 4000))
	}
	c.Count(400_000)
	if c.Weight() < 15 || c.Weight() > 17 || c.Threshold() > math.MaxUint64/15 {
		t.Errorf("weight = %v, want 16", c.Weight())
	}
	if size, _ := c.Size(0.9); size < 3000 || size > 5000 {
		t.Errorf("size = %v, want 4000 keys", size)
	}
	c.Restart()
	c.Read(0)
	c.Count(16)
	if share, _ := c.Reachable(); share != 0 || c.Reads() != 16 || c.Weight() < 15 {
		t.Errorf("after a restart, %v of %v reads are reachable in a sample of one in %v", share, c.Reads(), c.Weight())
	}
}

// TestKnownMisses checks which first reads are misses in a cache of any size that was not
// empty when the curve began.
func TestKnownMisses(t *testing.T) {
	c := New()
	for key := range uint64(1000) {
		c.Read(mix(key))
	}
	total := c.Total()
	for bucket, bound := range bounds {
		misses := 0.0
		for _, n := range total.First[bucket+1:] {
			misses += n
		}
		// A cache of this size has none of the keys after as many.
		if want := max(0, math.Floor(1000-bound)); misses < want || misses > want+1 {
			t.Errorf("%v of 1000 first reads miss in %v keys, want %v", misses, bound, want)
		}
	}
	for bucket, bound := range bounds {
		tell := 0.0
		for _, n := range total.Seen[bucket+1:] {
			tell += n
		}
		if want := max(0, math.Floor(1000-bound)); tell < want || tell > want+1 {
			t.Errorf("%v of 1000 reads tell what %v keys do, want %v", tell, bound, want)
		}
	}
	c.Read(mix(1000 - 16))
	if i, _ := slices.BinarySearch(bounds, 16); total.Again[i] != 1 {
		t.Errorf("the read of the key before 15 others is at %v", slices.Index(total.Again[:], 1))
	}
}

// TestOldKeys checks that keys that nobody accesses any more leave the sample, and that it
// is then large enough for those that are.
func TestOldKeys(t *testing.T) {
	c := New()
	for key := range uint64(2_000_000) {
		c.Read(mix(key))
	}
	const keys = 20_000
	turn := func() {
		for i := range uint64(5 * keys) {
			c.Read(mix(1<<40 + i%keys))
		}
		c.Count(5 * keys)
	}
	if c.Weight() < 100 {
		t.Fatalf("weight = %v after 2 million keys", c.Weight())
	}
	for range 3 {
		c.Renew()
		turn()
	}
	if c.Weight() > 4 {
		t.Errorf("one key in %v is in the sample of %d, want one in 3", c.Weight(), keys)
	}
	c.Renew()
	turn()
	if size, _ := c.Size(0.9); size < 0.8*keys || size > 1.25*keys {
		t.Errorf("size = %v, want %v", size, keys)
	}
	weight := c.Weight()
	if c.Renew(); c.Weight() != weight {
		t.Errorf("a sample of %v keys changed from one in %v to one in %v", keys, weight, c.Weight())
	}
	c.Halve()
	for range 3 {
		c.Renew()
	}
	if c.Weight() < 2*weight {
		t.Errorf("the sample of a source that is too fast grew: one in %v", c.Weight())
	}
}

// TestMemory checks the bound on a Curve with a full sample.
func TestMemory(t *testing.T) {
	grown := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := New()
			for key := range uint64(maxKeys) {
				c.Read(mix(key))
			}
		}
	}).AllocedBytesPerOp()
	t.Logf("%d bytes, of which the stack has %d", grown, unsafe.Sizeof(stack{}))
	if grown > 1<<20 {
		t.Errorf("%d bytes, want at most 1 MiB", grown)
	}
}

// BenchmarkRead reads keys of which all are in the sample, or few.
func BenchmarkRead(b *testing.B) {
	for name, keys := range map[string]uint64{"all in the sample": maxKeys, "one of 100": 100 * maxKeys} {
		b.Run(name, func(b *testing.B) {
			c, r := New(), rand.New(rand.NewPCG(7, 8))
			list := make([]uint64, 1<<20)
			for i := range list {
				list[i] = mix(r.Uint64N(keys))
			}
			for i := 0; b.Loop(); i++ {
				c.Read(list[i%len(list)])
			}
		})
	}
}
