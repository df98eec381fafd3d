// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/symbols/libuv"
)

// A pool is the pool of threads of libuv in one process.
type pool struct {
	pid    int
	layout *libuv.Layout // nil if the process has none that can be read
	base   uint64        // added to its addresses
}

// A poolState is what a pool did at one moment.
type poolState struct {
	threads, idle, lookups float64
	// waiting is the work that no thread has begun, by its kind.
	waiting map[libuv.Kind]float64
}

const (
	// maxPool is the maximum of UV_THREADPOOL_SIZE.
	maxPool = 1024
	// maxWork limits the walk over a list, to about a millisecond.
	maxWork = 1024
	// attempts is how often a list is read that changes meanwhile.
	attempts = 3
)

// state reads a pool. ok is false if its lists changed while they were read.
func (p *pool) state() (s poolState, ok bool) {
	for range attempts {
		if s, ok = p.read(); ok {
			break
		}
	}
	return s, ok
}

func (p *pool) read() (s poolState, ok bool) {
	l := p.layout
	from, to := l.Span()
	b := make([]byte, to-from)
	if !readMemory(p.pid, p.base+from, b) {
		return s, false
	}
	number := func(at uint64) float64 { return float64(binary.LittleEndian.Uint32(b[at-from:])) }
	s = poolState{threads: number(l.Threads), idle: number(l.Idle), lookups: number(l.Slow), waiting: make(map[libuv.Kind]float64)}
	if s.threads == 0 {
		return s, true // it starts with the first piece of work
	}
	if s.threads > maxPool || s.idle > s.threads || s.lookups > s.threads {
		return s, false
	}
	ok = p.walk(b, l.Queue, s.waiting) && p.walk(b, l.SlowQueue, s.waiting)
	return s, ok
}

// walk counts the work in a list. b has the variables.
//
//	struct uv__work { void (*work)(…); void (*done)(…); struct uv_loop_s* loop; struct uv__queue { next, prev } wq; };
func (p *pool) walk(b []byte, head uint64, waiting map[libuv.Kind]float64) bool {
	const before, size = 24, 32 // the entry is inside of the work
	from, _ := p.layout.Span()
	word := func(at uint64) uint64 { return binary.LittleEndian.Uint64(b[at-from:]) }
	next := word(head)
	var work [size]byte
	for range maxWork {
		switch at := next - p.base; {
		case at == head:
			return true
		case at == p.layout.SlowMessage || at == p.layout.ExitMessage:
			next = word(at)
			continue
		}
		if next < before || !readMemory(p.pid, next-before, work[:]) {
			return false
		}
		kind, known := p.layout.Kinds[binary.LittleEndian.Uint64(work[:])-p.base]
		if !known {
			return false
		}
		waiting[kind]++
		next = binary.LittleEndian.Uint64(work[before:])
	}
	return true // or more: that is enough
}

// maxLayouts is the maximum number of executables remembered.
const maxLayouts = 200

// layouts remembers where each executable has its pool; nil for nowhere.
type layouts map[patience.FileID]*libuv.Layout

// pool finds the pool of a process. ok is false if it cannot be looked for now.
func (l layouts) pool(d procDir, p *patience.Patience, pid int) (found *pool, ok bool) {
	exe := patience.Call{Source: "requests", PID: pid, File: patience.Exe, Lost: "whether work waits for its pool of threads", Patience: time.Second}
	key, ok := p.File(exe)
	if !ok || key == (patience.FileID{}) {
		return nil, false
	}
	layout, known := l[key]
	if !known {
		type read struct {
			layout *libuv.Layout
			ok     bool
		}
		r, answered := patience.Ask(p, exe, func() read {
			layout, ok := readLayout(d.file(pid, patience.Exe))
			return read{layout, ok}
		})
		if !answered || !r.ok {
			return nil, false
		}
		if layout = r.layout; len(l) < maxLayouts {
			l[key] = layout
		}
	}
	found = &pool{pid: pid, layout: layout}
	if layout != nil && layout.Relocated {
		headers, known := programHeaders(d.file(pid, "auxv"))
		if !known {
			return nil, false
		}
		found.base = headers - layout.Headers
	}
	return found, true
}

func readLayout(path string) (*libuv.Layout, bool) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer f.Close() //nolint:errcheck // read only
	l, err := libuv.Read(f)
	if errors.Is(err, libuv.ErrUnknown) {
		return nil, true
	}
	return &l, err == nil
}

// programHeaders returns the address of the program headers of a process, from the vector
// that the kernel passes to a new program (pairs of a type and a value).
func programHeaders(path string) (address uint64, ok bool) {
	const pair, atPHDR = 16, 3
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for ; len(b) >= pair; b = b[pair:] {
		if binary.LittleEndian.Uint64(b) == atPHDR {
			return binary.LittleEndian.Uint64(b[8:]), true
		}
	}
	return 0, false
}
