// SPDX-License-Identifier: Apache-2.0

package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// Version is the version of the records. A higher one comes from a newer version of
// headroom.
const Version = 1

// savedClock is the first record.
type savedClock struct {
	Boot string `json:"boot"`
	// Start is the clock at the start of the kernel of Boot, Now the clock when it was
	// saved.
	Start int64 `json:"start"`
	Now   int64 `json:"now"`
}

// savedUsage is a record of the hours of a workload.
type savedUsage struct {
	Workload string `json:"workload"`
	Hours    []byte `json:"hours"`
}

// savedSeries is each of the other records.
type savedSeries struct {
	Metric  string         `json:"metric"`
	Kind    string         `json:"kind"`
	Entity  string         `json:"entity"`
	Subject string         `json:"subject"`
	Peak    float64        `json:"peak"`
	Tiers   [][]savedChunk `json:"tiers"`
}

// savedChunk has readings in the format of chunkenc, from From to To.
type savedChunk struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Data []byte `json:"data"`
}

// Records calls each with the history as records, one per series, and stops at the
// first error. Add waits for one record at a time.
func (h *History) Records(each func([]byte) error) error {
	h.mu.Lock()
	clock := savedClock{h.boot, h.start, h.now}
	keys := h.sortedKeys()
	h.mu.Unlock()
	if err := record(clock, each); err != nil {
		return err
	}
	for _, k := range keys {
		s, ok := h.saved(k)
		if !ok {
			continue // dropped in the meantime
		}
		if err := record(s, each); err != nil {
			return err
		}
	}
	for _, s := range h.savedUsages() {
		if err := record(s, each); err != nil {
			return err
		}
	}
	return nil
}

// savedUsages returns the hours of all workloads, those in progress included.
func (h *History) savedUsages() []savedUsage {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, in := range h.usage.instances {
		h.fold(in)
	}
	var all []savedUsage
	for _, name := range slices.Sorted(maps.Keys(h.usage.workloads)) {
		// Rows have a fixed size: cannot fail.
		hours, _ := binary.Append(nil, binary.LittleEndian, h.usage.workloads[name])
		all = append(all, savedUsage{name, hours})
	}
	return all
}

func record(v any, each func([]byte) error) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err // a peak that is no number: cannot happen
	}
	return each(text)
}

func (h *History) saved(k key) (savedSeries, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.series[k]
	if s == nil {
		return savedSeries{}, false
	}
	out := savedSeries{Metric: k.metric.Key(), Kind: k.entity.Kind.String(), Entity: k.entity.ID, Subject: s.subject, Peak: s.peak}
	for i := range s.rings {
		r := &s.rings[i]
		tier := []savedChunk{}
		for _, c := range r.chunks {
			data := c.data
			if data == nil {
				data = append(data, r.open.Bytes()...)
			}
			tier = append(tier, savedChunk{c.from, c.to, data})
		}
		out.Tiers = append(out.Tiers, tier)
	}
	return out, true
}

// A Loader loads records.
type Loader struct {
	h       *History
	metrics map[string]*observe.Metric
	began   bool
	// other is set if the machine was rebooted since then: pids and IDs refer to other
	// processes.
	other bool
}

// Load returns a Loader for what was saved before. It can be called before the
// first Add or later: older readings are added to a series that already has some.
func (h *History) Load() *Loader { return &Loader{h: h, metrics: catalog.ByKey()} }

// errFirst is returned for a file whose first record is invalid.
var errFirst = errors.New("the first record has no clock")

// Record loads the next record. An error means that it was left out.
func (l *Loader) Record(text []byte) error {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	if !l.began {
		var c savedClock
		if err := json.Unmarshal(text, &c); err != nil || c.Now == 0 {
			return errFirst
		}
		l.clock(c)
		return nil
	}
	var s struct {
		savedSeries
		savedUsage
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if s.Workload != "" {
		return l.usage(s.savedUsage)
	}
	return l.series(s.savedSeries)
}

// clock continues the saved clock. With the same kernel, the kernel's clock gives
// the time since then; otherwise the time of day does, unless it was set back.
func (l *Loader) clock(c savedClock) {
	h := l.h
	l.began, l.other = true, c.Boot != h.boot
	lived := h.now - h.start // uptime of the kernel
	if !l.other {
		h.start = c.Start
	} else if h.now < c.Now {
		h.start = c.Now - lived
	}
	h.now = h.start + lived
	if h.now < c.Now {
		h.start += c.Now - h.now
		h.now = c.Now
	}
}

// usage adds the saved hours of a workload to the known ones.
func (l *Loader) usage(saved savedUsage) error {
	if len(saved.Hours)%rowCost != 0 {
		return errors.New("the hours of a workload are cut off")
	}
	rows := make([]row, len(saved.Hours)/rowCost)
	if _, err := binary.Decode(saved.Hours, binary.LittleEndian, rows); err != nil {
		return err
	}
	for _, r := range rows {
		if r.valid() && int64(r.Hour) <= l.h.now/hour && len(l.h.usage.workloads) < maxInstances {
			l.h.keepHour(saved.Workload, r)
		}
	}
	return nil
}

// gone marks entities from before a reboot.
const gone = "@before"

func (l *Loader) series(saved savedSeries) error {
	h := l.h
	m := l.metrics[saved.Metric]
	kind, err := observe.ParseEntityKind(saved.Kind)
	if err != nil || h.known[m] == nil {
		return nil // saved by another version, and not kept by this one
	}
	k := key{m, observe.Entity{Kind: kind, ID: saved.Entity}}
	if l.other && kind != observe.Node && kind != observe.Cgroup {
		k.entity.ID += gone
	}
	s, before := h.series[k], 0
	if s != nil {
		before = s.cost()
	} else {
		if len(h.series) >= maxSeries {
			h.refused++
			return nil
		}
		s = &series{subject: saved.Subject}
	}
	for i, tier := range saved.Tiers {
		if i >= len(s.rings) {
			break
		}
		if err := s.rings[i].prepend(tier, h.now); err != nil {
			return fmt.Errorf("%s of %s: %w", saved.Metric, saved.Entity, err)
		}
	}
	if s.empty() {
		return nil
	}
	s.peak = max(s.peak, saved.Peak)
	h.series[k] = s
	h.bytes += s.cost() - before
	return nil
}

// prepend adds saved chunks before the existing ones. If there are none, writing
// continues in the last saved one.
func (r *ring) prepend(saved []savedChunk, now int64) error {
	before := now
	if len(r.chunks) > 0 {
		before = r.chunks[0].from - 1
	}
	var chunks []chunk
	for _, c := range saved {
		if err := c.check(); err != nil {
			return err
		}
		if c.To > before || len(chunks) > 0 && c.From <= chunks[len(chunks)-1].to {
			continue // overlaps existing readings
		}
		chunks = append(chunks, chunk{c.From, c.To, c.Data})
	}
	goOn := len(r.chunks) == 0
	r.chunks = append(chunks, r.chunks...)
	if goOn {
		r.reopen()
	}
	return nil
}

// check reads a whole chunk, to reject what a later reader would fail on.
func (c savedChunk) check() error {
	const header = 2 // the number of readings
	if len(c.Data) <= header || c.From > c.To {
		return errors.New("a chunk without readings")
	}
	packed := &chunkenc.XORChunk{}
	packed.Reset(c.Data)
	it := packed.Iterator(nil)
	at, n := c.From-1, 0
	for it.Next() == chunkenc.ValFloat {
		t, _ := it.At()
		if t <= at || n == 0 && t != c.From {
			return errors.New("a chunk whose times do not rise")
		}
		at = t
		n++
	}
	if err := it.Err(); err != nil || at != c.To {
		return errors.New("a chunk that ends too soon")
	}
	return nil
}

// reopen continues writing to the last chunk. It copies the readings, since a
// packed chunk does not record the bit at which it ends.
func (r *ring) reopen() {
	if len(r.chunks) == 0 {
		return
	}
	last := &r.chunks[len(r.chunks)-1]
	packed := r.chunk(len(r.chunks) - 1)
	if packed.NumSamples() >= perChunk {
		return
	}
	r.open = chunkenc.NewXORChunk()
	r.writer, _ = r.open.Appender() // of an empty chunk: cannot fail
	for it := packed.Iterator(nil); it.Next() == chunkenc.ValFloat; {
		at, v := it.At()
		r.writer.Append(0, at, v)
	}
	last.data = nil
}
