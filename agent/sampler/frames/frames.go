// SPDX-License-Identifier: Apache-2.0

// Package frames samples the functions that the threads of event loops are in during long
// ticks. It is a thin layer over bpf/tick, which reads them; this package finds the
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

// Sampler reads the functions of long ticks.
var Sampler = &sampler.Sampler{
	Name:     name,
	Doc:      "Reads the functions that Node.js and CPython are in during long ticks, from samples of the stack (eBPF). Only names, files and lines are read.",
	Provides: []*observe.Metric{catalog.LongSampled, catalog.LongIn},
	Open:     open,
}

const (
	// maxCodes is the maximum number of functions of one loop that are reported, with
	// what they use and their callers; maxAll is that of all loops.
	maxCodes, maxAll = 32, 4096
	// worthCounting is the shortest sleep in ns that counts.
	worthCounting = 2_000_000
	longTick      = uint64(tick.DefaultLongTick)
	sampleTime    = 1.0 / tick.StackHz // seconds that one sample of the clock stands for
	// enoughSamples is the number of samples of which one at least can be read, if any can.
	enoughSamples = 10
)

type reader struct {
	probe     *tick.Probe
	host      *sampler.Host
	processes map[observe.ID]*process
	loops     map[uint32]*loop // by thread ID
	layouts   layouts
	pythons   map[fileKey]pythonAnswer
	codes     int
	round     int
	lost      uint64
	blocks    blocks
}

// A loop is what is known of a thread.
type loop struct {
	id      observe.ID
	process *process
	round   int
	sampled float64
	codes   map[culprit]*code
	blocked *sleep
}

// A code is the entity of a culprit.
type code struct {
	id      observe.ID
	seconds float64
}

// A sleep is one whose end was not read yet.
type sleep struct {
	culprit culprit
	known   bool
	at      uint64 // CLOCK_MONOTONIC, ns
	tick    uint64
	counted uint64 // ns
}

func open(host *sampler.Host) (sampler.Reader, error) {
	if host.NoFrames {
		return nil, sampler.NotSupported("leave out --no-frames; in the agent's config, leave out frames: false", "functions that block event loops are not read: this is switched off")
	}
	probe, err := sampler.Probe[*tick.Probe](host, "tick")
	if err != nil {
		return nil, err
	}
	return &reader{
		probe: probe, host: host, processes: make(map[observe.ID]*process), loops: make(map[uint32]*loop),
		layouts: layouts{known: make(map[fileKey]answer)}, pythons: make(map[fileKey]pythonAnswer),
	}, nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	r.round++
	r.findLoops()
	if err := r.captureBlocks(); err != nil {
		s.Gap(name, "which functions block in system calls is not known: "+err.Error(), "")
	}
	if err := r.probe.ReadStacks(r.stack); err != nil {
		return err
	}
	if now, err := support.Monotonic(); err == nil {
		r.sleeping(now)
	}
	r.sweep(s)
	r.write(s)
	r.gaps(s)
	return nil
}

// findLoops finds the loops of processes whose functions can be read.
func (r *reader) findLoops() {
	x := r.host.Index
	for id := observe.ID(0); int(id) < x.Len(); id++ {
		e := x.Entity(id)
		if e.Kind != observe.Loop {
			continue
		}
		tid, err := strconv.ParseUint(x.Attr(id, catalog.AttrTID), 10, 32)
		if err != nil {
			continue
		}
		p := r.process(id)
		if p == nil {
			continue
		}
		l := r.loops[uint32(tid)]
		if l == nil || l.id != id {
			l = &loop{id: id, process: p, codes: make(map[culprit]*code)}
			r.loops[uint32(tid)] = l
		}
		l.round = r.round
	}
}

// stack counts one stack.
func (r *reader) stack(s *tick.Stack) {
	l := r.loops[s.Tid]
	if l == nil || l.process.pid != int(s.Tgid) {
		return
	}
	if s.Kind != tick.StackUnblocked {
		l.process.samples++
		if !s.Known {
			l.process.unreadable++
		}
	}
	switch s.Kind {
	case tick.StackOnCPU:
		c, known := r.culprit(l.process, s)
		r.count(l, c, known, sampleTime)
	case tick.StackBlocked:
		c, known := r.culprit(l.process, s)
		l.blocked = &sleep{culprit: c, known: known, at: s.At, tick: s.TickStart}
	case tick.StackUnblocked:
		if l.blocked != nil && l.blocked.at == s.At {
			r.slept(l, s.Sleep)
		}
		l.blocked = nil
	}
}

// slept counts the current sleep of a loop, which has lasted that long, in ns.
func (r *reader) slept(l *loop, ns uint64) {
	b := l.blocked
	if ns < worthCounting || b.at+ns < b.tick+longTick || ns <= b.counted {
		return
	}
	r.count(l, b.culprit, b.known, float64(ns-b.counted)/1e9)
	b.counted = ns
}

// sleeping counts the sleeps in progress.
func (r *reader) sleeping(now uint64) {
	for _, l := range r.loops {
		if l.blocked != nil && now > l.blocked.at+longTick {
			r.slept(l, now-l.blocked.at)
		}
	}
}

func (r *reader) count(l *loop, of culprit, known bool, seconds float64) {
	l.sampled += seconds
	if !known {
		return
	}
	c := l.codes[of]
	if c == nil {
		if len(l.codes) >= maxCodes || r.codes >= maxAll {
			return
		}
		e := r.host.Index.Entity(l.id)
		c = &code{id: r.host.Index.ID(observe.Entity{Kind: observe.Code, ID: fmt.Sprintf("%s/%d", e.ID, len(l.codes))})}
		r.host.Index.Describe(c.id, observe.Info{Parent: e, Attrs: of.attrs()})
		l.codes[of] = c
		r.codes++
	}
	c.seconds += seconds
}

func (r *reader) write(s *observe.Snapshot) {
	for _, l := range r.loops {
		if l.sampled == 0 {
			continue
		}
		s.Set(catalog.LongSampled, l.id, l.sampled)
		for _, c := range l.codes {
			s.SetPair(catalog.LongIn, l.id, c.id, c.seconds)
		}
	}
}

// sweep drops loops and processes that are gone.
func (r *reader) sweep(s *observe.Snapshot) {
	for tid, l := range r.loops {
		if l.round == r.round {
			continue
		}
		for _, c := range l.codes {
			s.End(c.id, "gone")
		}
		r.codes -= len(l.codes)
		delete(r.loops, tid)
	}
	for id, p := range r.processes {
		if p.round != r.round {
			r.probe.Unwatch(uint32(p.pid))
			delete(r.processes, id)
		}
	}
}

func (r *reader) gaps(s *observe.Snapshot) {
	told := make(map[string]bool)
	for id, p := range r.processes {
		var u interface{ Unsupported() (reason, cure string) }
		switch {
		case errors.As(p.refused, &u):
			if reason, cure := u.Unsupported(); !told[reason] {
				s.Gap(name, "which functions block event loops is not known: "+reason, cure)
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
