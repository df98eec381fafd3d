// SPDX-License-Identifier: Apache-2.0

package upstreams

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/missratio"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/bpf/requests"
)

const (
	// maxCurves is the number of clients whose reads are followed, with 0.9 MB each. Few
	// services of a host send many reads.
	maxCurves = 16
	// fewReads is the number of reads between two readings, a second, from which those of a
	// client are followed.
	fewReads = 5
	// maxReads is how many reads per second of one client may be in the sample: with four
	// clients the ring of the probe holds those of a second.
	maxReads = 5000
	// renewEvery is how long reads count: one to two times that.
	renewEvery = 30 * time.Minute
)

// A curve is what a cache in front of an upstream would do: the reads of one client. It has
// hashes of statements with their values, which do not leave it.
type curve struct {
	*missratio.Curve
	number  uint32 // of the upstream in the probe
	keys    map[uint64]lastRead
	calls   int // in the sample since the last reading
	renewed time.Time

	// Counters. Those of a sample stand for all reads.
	fresh, stale float64
	time         [len(missratio.Distribution{}.Again)]float64 // seconds, of the reads of Again
	intervals    observe.Hist                                 // between reads of a key, in seconds
	sizes, sized float64                                      // bytes of answers, and answers
}

// A lastRead is the last read of a key in the sample.
type lastRead struct {
	version uint32 // its lower part
	at      uint32 // ms since boot: it overflows after 49 days
}

// setReads writes the metrics of what statements do, and begins to follow the reads of a
// client that sends many.
func (r *reader) setReads(s *observe.Snapshot, c *client, v *requests.Upstream) {
	if v.Protocol != requests.Postgres {
		return
	}
	s.Set(catalog.ReadCalls, c.id, float64(v.Reads.Calls))
	s.Set(catalog.ReadTime, c.id, v.Reads.Time.Seconds())
	s.Set(catalog.WriteCalls, c.id, float64(v.Reads.Writes))
	s.Set(catalog.UnclearCalls, c.id, float64(v.Reads.Unclear))
	c.before, c.reads = c.reads, v.Reads
	if c.curve != nil || v.Reads.Calls-c.before.Calls < fewReads {
		return
	}
	if r.followed >= maxCurves {
		r.full = true
		return
	}
	if r.probe.Sample(v.Number, math.MaxUint64) == nil {
		c.curve = &curve{Curve: missratio.New(), number: v.Number, keys: make(map[uint64]lastRead), renewed: r.now(), intervals: observe.NewHist(catalog.RepeatInterval)}
		r.byNumber[v.Number], c.before = c.curve, c.reads // those of before are not in the sample
		r.followed++
	}
}

// readReads follows the reads since the last reading.
func (r *reader) readReads(s *observe.Snapshot) error {
	now := r.now()
	err := r.probe.ReadReads(func(v requests.Read) {
		if f := r.byNumber[v.Upstream]; f != nil {
			f.add(v)
		}
	})
	if err != nil {
		return fmt.Errorf("reading reads: %w", err)
	}
	for _, c := range r.clients {
		if c.curve == nil {
			continue
		}
		if err := r.renew(c, now); err != nil {
			return err
		}
		c.curve.write(s, c.id)
	}
	if r.full {
		s.Gap(name, "the reads of some services are not followed: those of "+fmt.Sprint(maxCurves)+" are", "")
	}
	r.read, r.full = now, false
	return nil
}

// add follows a read in the sample. After a write to what it reads, the answer of before is
// no longer in the cache.
func (f *curve) add(v requests.Read) {
	f.calls++
	if v.Key >= f.Threshold() {
		return
	}
	last, again := f.keys[v.Key]
	now := lastRead{uint32(v.Version), uint32(v.At.Milliseconds())}
	f.keys[v.Key] = now
	if again && last.version != now.version {
		f.Delete(v.Key)
		f.stale += f.Weight()
	}
	bucket, hits := f.Read(v.Key)
	if !hits {
		f.sizes += float64(v.Bytes)
		f.sized++
		return
	}
	f.fresh += f.Weight()
	f.time[bucket] += f.Weight() * v.Time.Seconds()
	interval := float64(now.at-last.at) / 1e3
	i, _ := slices.BinarySearch(catalog.RepeatBounds, interval)
	f.intervals.Count[i] += f.Weight()
	f.intervals.Sum[i] += f.Weight() * interval
}

// renew counts the reads since the last reading, and reduces the sample if there are too
// many. If some were lost, the order of keys is not known, and all begins again.
func (r *reader) renew(c *client, now time.Time) error {
	f, lost := c.curve, c.reads.Lost-c.before.Lost
	f.Slow(float64(f.calls)+float64(lost), now.Sub(r.read).Seconds(), maxReads)
	f.calls = 0
	if lost > 0 {
		f.Restart()
		clear(f.keys)
	} else {
		f.Count(float64(c.reads.Calls - c.before.Calls))
	}
	if now.Sub(f.renewed) >= renewEvery {
		f.renewed = now
		f.Renew()
		f.sizes, f.sized = f.sizes/2, f.sized/2
	}
	f.forget()
	return r.probe.Sample(f.number, f.Threshold())
}

// mostKeys is how many keys have a last read: more than the sample has.
const mostKeys = 10_000

// forget removes the last reads of keys that left the sample. Without one, a key counts as
// never read.
func (f *curve) forget() {
	if len(f.keys) <= mostKeys {
		return
	}
	for key := range f.keys {
		if key >= f.Threshold() || len(f.keys) > mostKeys {
			delete(f.keys, key)
			f.Delete(key)
		}
	}
}

func (f *curve) write(s *observe.Snapshot, id observe.ID) {
	total := f.Total()
	s.Set(catalog.ReadFollowed, id, total.Reads)
	s.Set(catalog.ReadFresh, id, f.fresh)
	s.Set(catalog.ReadStale, id, f.stale)
	if f.sized > 0 {
		s.Set(catalog.ReadBytes, id, f.sizes/f.sized)
	}
	// How many answers each read of a bucket needed is not known better than its bounds.
	copy(s.Hist(catalog.ReadReuse, id).Count, total.Again[:])
	copy(s.Hist(catalog.ReadReuseTime, id).Count, f.time[:])
	copy(s.Hist(catalog.ReadFirst, id).Count, total.First[:])
	copy(s.Hist(catalog.ReadSeen, id).Count, total.Seen[:])
	intervals := s.Hist(catalog.RepeatInterval, id)
	copy(intervals.Count, f.intervals.Count)
	copy(intervals.Sum, f.intervals.Sum)
}

// endReads ends the sample of a client.
func (r *reader) endReads(c *client) {
	if c.curve == nil {
		return
	}
	delete(r.byNumber, c.curve.number)
	_ = r.probe.Sample(c.curve.number, 0) // the probe can have dropped it already
	c.curve = nil
	r.followed--
}
