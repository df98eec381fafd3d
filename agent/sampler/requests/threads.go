// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// This file samples what the threads of a process do while one of its requests waits:
// which are in a system call that waits for something outside of the process.

const (
	// slow is the age of a request from which the threads of its process are read.
	slow = time.Second
	// maxProcesses and maxThreads limit one reading: 2,000 small files, 20 ms.
	maxProcesses = 16
	maxThreads   = 128
)

// threads has what was sampled so far, by process.
type threads struct {
	host    *sampler.Host
	proc    procDir
	sampled map[observe.ID]*sampled
	took    time.Duration // by the last reading
}

// sampled is what the threads of one process were seen in.
type sampled struct {
	readings float64
	calls    *counts
}

func newThreads(host *sampler.Host) *threads {
	return &threads{host: host, proc: procDir(host.Proc), sampled: make(map[observe.ID]*sampled)}
}

// read samples the processes with the oldest requests, and writes the sums of all that
// still serve.
func (t *threads) read(s *observe.Snapshot, now map[observe.ID]total) {
	t.forget(s, now)
	if t.host.Turn(t.took) {
		began := time.Now()
		for _, id := range slowest(now, slow) {
			t.sample(id, now[id].pid)
		}
		t.took = time.Since(began)
	}
	for id, p := range t.sampled {
		s.Set(catalog.RequestReadings, id, p.readings)
		p.calls.write(s, catalog.RequestThreads, id)
	}
}

// slowest returns the processes with a request of this age, the oldest request first.
func slowest(now map[observe.ID]total, age time.Duration) []observe.ID {
	ids := slices.Collect(maps.Keys(now))
	ids = slices.DeleteFunc(ids, func(id observe.ID) bool { return now[id].oldest < age })
	slices.SortFunc(ids, func(a, b observe.ID) int {
		return cmp.Or(cmp.Compare(now[b].oldest, now[a].oldest), cmp.Compare(a, b))
	})
	return ids[:min(maxProcesses, len(ids))]
}

func (t *threads) sample(id observe.ID, pid int) {
	p := t.sampled[id]
	if p == nil {
		p = &sampled{calls: newCounts(t.host, "requests")}
		t.sampled[id] = p
	}
	p.readings++
	for c, n := range t.proc.calls(t.host.Patience, pid) {
		p.calls.add(id, c, float64(n))
	}
}

// forget drops the processes that do not serve any more.
func (t *threads) forget(s *observe.Snapshot, now map[observe.ID]total) {
	for id, p := range t.sampled {
		if _, ok := now[id]; !ok {
			p.calls.end(s)
			delete(t.sampled, id)
		}
	}
}
