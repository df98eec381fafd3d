// SPDX-License-Identifier: Apache-2.0

// Package frames samples the functions that threads are in: those of event loops during
// long ticks, and all that are busy. It is a thin layer over bpf/tick, which reads them; this package finds the
// processes to read, and the function of the program in each stack. It reads names and
// positions of functions, and never arguments or values.
package frames

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/support"
	"github.com/headroom-project/headroom/bpf/tick"
)

const name = "frames"

// Sampler reads the functions of long ticks and of busy threads.
var Sampler = &sampler.Sampler{
	Name:     name,
	Doc:      "Reads the functions that Node.js and CPython are in during long ticks and in busy threads, from samples of the stack (eBPF). Only names, files and lines are read.",
	Provides: []*observe.Metric{catalog.LongSampled, catalog.LongIn, catalog.LongCollected, catalog.LongCollectedIn, catalog.LoopSampled, catalog.LoopIn, catalog.ThreadSampled, catalog.ThreadIn},
	Open:     open,
}

const (
	// maxCodes is the maximum number of functions of one thread that are reported, with
	// what they use and their callers; maxAll is that of all threads. keepFor is for how
	// many readings without a sample one of them is kept when others need its place: the
	// windows that an agent evaluates are shorter.
	maxCodes, maxAll = 64, 4096
	keepFor          = 300
	// worthCounting is the shortest sleep in ns that counts.
	worthCounting = 2_000_000
	longTick      = uint64(tick.DefaultLongTick)
	hitTime       = 1.0 / tick.StackHz // seconds that one hit of the clock stands for
	// enoughSamples is the number of samples of which one at least can be read, if any can.
	enoughSamples = 10
)

type reader struct {
	probe     *tick.Probe
	host      *sampler.Host
	processes map[observe.ID]*process
	threads   map[uint32]*thread // by thread ID
	others    []observe.ID       // threads of this reading that may run no loop
	ended     []observe.ID       // functions that are no longer reported
	layouts   layouts
	pythons   map[fileKey]pythonAnswer
	codes     int
	round     int
	lost      uint64
	blocks    blocks
}

// A thread is what is known of a thread.
type thread struct {
	id      observe.ID // of its loop, if it runs one
	loop    bool
	process *process
	round   int
	all     share
	codes   map[culprit]*code
	named   int // functions so far
	blocked *sleep
	// collects is set once it is known whether the collector of its runtime runs.
	collects bool
}

// A share is the time, in seconds, of samples: of long ticks, of the collector in these, and
// of a busy thread.
type share struct{ long, collected, busy float64 }

func (s *share) add(o share) {
	s.long += o.long
	s.collected += o.collected
	s.busy += o.busy
}

// A code is the entity of a culprit, with the time of its samples.
type code struct {
	id    observe.ID
	round int // of the last sample
	share
}

// A sleep is one whose end was not read yet.
type sleep struct {
	culprit culprit
	known   bool
	read    bool   // whether the stack could be read
	at      uint64 // CLOCK_MONOTONIC, ns
	tick    uint64
	counted uint64 // ns
}

func open(host *sampler.Host) (sampler.Reader, error) {
	if host.NoFrames {
		return nil, sampler.NotSupported("leave out --no-frames; in the agent's config, leave out frames: false", "functions of event loops and of busy threads are not read: this is switched off")
	}
	probe, err := sampler.Probe[*tick.Probe](host, "tick")
	if err != nil {
		return nil, err
	}
	return &reader{
		probe: probe, host: host, processes: make(map[observe.ID]*process), threads: make(map[uint32]*thread),
		layouts: layouts{known: make(map[fileKey]answer)}, pythons: make(map[fileKey]pythonAnswer),
	}, nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	r.round++
	r.findThreads()
	if err := r.captureBlocks(); err != nil {
		s.Gap(name, "which functions block in system calls is not known: "+err.Error(), "")
	}
	if err := r.probe.ReadStacks(r.stack); err != nil {
		return err
	}
	if now, err := support.Monotonic(); err == nil {
		r.sleeping(now)
	}
	r.sweep()
	r.write(s)
	r.gaps(s)
	return nil
}

// findThreads finds the threads of processes whose functions can be read.
func (r *reader) findThreads() {
	x := r.host.Index
	r.others = r.others[:0]
	for id := observe.ID(0); int(id) < x.Len(); id++ {
		switch x.Entity(id).Kind {
		case observe.Loop:
			if x.Attr(id, catalog.AttrLoopShared) != "true" {
				r.find(id, true)
			}
		case observe.Thread:
			r.others = append(r.others, id)
		}
	}
	for _, id := range r.others {
		r.find(id, false)
	}
}

// find finds the thread of an entity.
func (r *reader) find(id observe.ID, loop bool) {
	n, err := strconv.ParseUint(r.host.Index.Attr(id, catalog.AttrTID), 10, 32)
	if err != nil {
		return
	}
	tid := uint32(n)
	t := r.threads[tid]
	if t != nil && t.round == r.round {
		return // it runs a loop
	}
	p := r.process(id)
	if p == nil {
		return
	}
	p.loops = p.loops || loop
	if t == nil || t.id != id {
		r.drop(tid)
		t = &thread{id: id, loop: loop, process: p, codes: make(map[culprit]*code)}
		r.threads[tid] = t
	}
	t.round = r.round
}

// stack counts one stack.
func (r *reader) stack(s *tick.Stack) {
	t := r.threads[s.Tid]
	if t == nil || t.process.pid != int(s.Tgid) {
		return
	}
	switch s.Kind {
	case tick.StackOnCPU, tick.StackBusy:
		t.tally(s.Known)
		t.collects = t.collects || s.Collector != tick.CollectorUnknown
		c, known := r.culprit(t.process, s)
		r.count(t, c, known, sampled(s))
	case tick.StackBlocked:
		c, known := r.culprit(t.process, s)
		t.blocked = &sleep{culprit: c, known: known, read: s.Known, at: s.At, tick: s.TickStart}
	case tick.StackUnblocked:
		if t.blocked != nil && t.blocked.at == s.At {
			r.slept(t, s.Sleep)
		}
		t.blocked = nil
	}
}

// tally counts a stack that a finding about a loop can need. Most short sleeps are outside
// of the runtime, whose state their stacks need not have.
func (t *thread) tally(read bool) {
	if !t.loop {
		return
	}
	t.process.samples++
	if !read {
		t.process.unreadable++
	}
}

// sampled returns the time that a stack at a hit of the clock stands for.
func sampled(s *tick.Stack) share {
	of := share{busy: float64(s.StandsFor) * hitTime}
	if s.Kind == tick.StackOnCPU {
		of.long = hitTime
		if s.Collector == tick.CollectorRuns {
			of.collected = hitTime
		}
	}
	return of
}

// slept counts the current sleep of a loop, which has lasted that long, in ns.
func (r *reader) slept(t *thread, ns uint64) {
	b := t.blocked
	if ns < worthCounting || b.at+ns < b.tick+longTick || ns <= b.counted {
		return
	}
	if b.counted == 0 {
		t.tally(b.read)
	}
	r.count(t, b.culprit, b.known, share{long: float64(ns-b.counted) / 1e9})
	b.counted = ns
}

// sleeping counts the sleeps in progress.
func (r *reader) sleeping(now uint64) {
	for _, t := range r.threads {
		if t.blocked != nil && now > t.blocked.at+longTick {
			r.slept(t, now-t.blocked.at)
		}
	}
}

func (r *reader) count(t *thread, of culprit, known bool, took share) {
	t.all.add(took)
	if !known {
		return
	}
	c := t.codes[of]
	if c == nil {
		if c = r.newCode(t, of); c == nil {
			return
		}
	}
	c.round = r.round
	c.add(took)
}

// newCode makes the entity of a culprit; nil if there is no place for it.
func (r *reader) newCode(t *thread, of culprit) *code {
	if len(t.codes) >= maxCodes {
		r.forget(t)
	}
	if len(t.codes) >= maxCodes || r.codes >= maxAll {
		return nil
	}
	e := r.host.Index.Entity(t.id)
	c := &code{id: r.host.Index.ID(observe.Entity{Kind: observe.Code, ID: fmt.Sprintf("%s/%d", e.ID, t.named)})}
	r.host.Index.Describe(c.id, observe.Info{Parent: e, Attrs: of.attrs()})
	t.codes[of] = c
	t.named++
	r.codes++
	return c
}

// forget drops the functions of a thread that have had no sample for a while.
func (r *reader) forget(t *thread) {
	for of, c := range t.codes {
		if r.round-c.round > keepFor {
			r.ended = append(r.ended, c.id)
			delete(t.codes, of)
			r.codes--
		}
	}
}

func (r *reader) write(s *observe.Snapshot) {
	for _, t := range r.threads {
		busy := func(s share) float64 { return s.busy }
		if !t.loop {
			t.write(s, catalog.ThreadSampled, catalog.ThreadIn, busy)
			continue
		}
		t.write(s, catalog.LoopSampled, catalog.LoopIn, busy)
		t.write(s, catalog.LongSampled, catalog.LongIn, func(s share) float64 { return s.long })
		if t.collects {
			s.Set(catalog.LongCollected, t.id, t.all.collected) // 0 is known too
			t.write(s, catalog.LongCollected, catalog.LongCollectedIn, func(s share) float64 { return s.collected })
		}
	}
	for _, id := range r.ended {
		s.End(id, "gone")
	}
	r.ended = r.ended[:0]
}

// write writes the time of samples of one kind, and of the functions in them.
func (t *thread) write(s *observe.Snapshot, all, in *observe.Metric, of func(share) float64) {
	if of(t.all) == 0 {
		return
	}
	s.Set(all, t.id, of(t.all))
	for _, c := range t.codes {
		if took := of(c.share); took > 0 {
			s.SetPair(in, t.id, c.id, took)
		}
	}
}

// sweep drops threads and processes that are gone.
func (r *reader) sweep() {
	for tid, t := range r.threads {
		if t.round != r.round {
			r.drop(tid)
		}
	}
	for id, p := range r.processes {
		if p.round != r.round {
			r.probe.Unwatch(uint32(p.pid))
			delete(r.processes, id)
		}
	}
}

// drop drops a thread, if it is known.
func (r *reader) drop(tid uint32) {
	t := r.threads[tid]
	if t == nil {
		return
	}
	for _, c := range t.codes {
		r.ended = append(r.ended, c.id)
	}
	r.codes -= len(t.codes)
	delete(r.threads, tid)
}

func (r *reader) gaps(s *observe.Snapshot) {
	told := make(map[string]bool)
	for id, p := range r.processes {
		var u interface{ Unsupported() (reason, cure string) }
		switch {
		case !p.loops: // that it is busy is not known here, nor that a finding needs its functions
		case errors.As(p.refused, &u):
			if reason, cure := u.Unsupported(); !told[reason] {
				s.Gap(name, "which functions event loops and busy threads are in is not known: "+reason, cure)
				told[reason] = true
			}
		case p.unknown != "":
			s.ProcessGap(id, name, "functions of "+r.host.Index.Attr(id, catalog.AttrCommand)+" cannot be named: "+p.unknown, p.runtime.profile)
		case p.samples >= enoughSamples && p.unreadable == p.samples:
			s.ProcessGap(id, name, "functions of "+r.host.Index.Attr(id, catalog.AttrCommand)+" cannot be named: its memory could not be read, or is not laid out as in the builds that headroom knows", p.runtime.profile)
		}
	}
	if lost := r.probe.LostStacks(); lost > r.lost {
		s.Gap(name, "some samples of stacks are missing: the ring buffer of the eBPF probe was full", "")
		r.lost = lost
	}
}
