// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// chooseEvery is the number of readings between two choices of the processes to
	// follow when there are more than the limit.
	chooseEvery = 10
	// recent is the weight of the last reading in a process's activity. loyalty is the
	// factor by which a process must be more active than the one it replaces.
	recent, loyalty = 0.05, 2
	// perResident is the activity, in cores, that a gigabyte of resident memory counts
	// as: of idle processes the larger ones are kept.
	perResident = 0.001
)

// choose decides which processes are left out when there are more than the limit:
// those that use least CPU time, and among equals the smaller and younger ones.
func (r *reader) choose() {
	room := r.detail.Processes()
	if room == 0 || len(r.procs) <= room {
		for _, p := range r.procs {
			p.left = false
		}
		r.detail.Chose(nil, len(r.procs))
		return
	}
	all := make([]*process, 0, len(r.procs))
	followed := 0
	for _, p := range r.procs {
		if p.alive != r.round {
			continue
		}
		p.rank(r)
		if !p.left {
			followed++
		}
		all = append(all, p)
	}
	if r.round%chooseEvery != 0 && followed <= room+room/10 {
		return
	}
	slices.SortFunc(all, func(a, b *process) int {
		return cmp.Or(cmp.Compare(b.weight(), a.weight()), cmp.Compare(a.pid, b.pid))
	})
	out := make(map[int]uint64)
	for i, p := range all {
		if p.left = i >= room; p.left {
			out[p.pid] = p.start
		}
	}
	r.detail.Chose(out, len(all)-len(out))
}

// rank updates the activity of a process; for a new process it is the average over
// its lifetime.
func (p *process) rank(r *reader) {
	if !p.ranked {
		p.ranked = true
		if age := r.now.Seconds() - float64(p.start)*userTick.Seconds(); age > 0 {
			p.activity = seconds(p.cpu) / max(1, age)
		}
		return
	}
	if r.seconds > 0 && p.cpu >= p.lastCPU {
		p.activity += recent * (float64(p.cpu-p.lastCPU)/1e9/r.seconds - p.activity)
	}
}

func (p *process) weight() float64 {
	w := p.activity + perResident*float64(p.counts.resident)*pageSize/(1<<30)
	if p.known {
		w *= loyalty
	}
	return w
}

// leave drops what is kept of a process that is left out. Its activity is still
// updated, so that it can return.
func (r *reader) leave(s *observe.Snapshot, p *process) {
	if !p.known {
		return
	}
	r.endID(s, p)
	*p = process{pid: p.pid, start: p.start, round: p.round, alive: p.alive, since: r.round, kernel: p.kernel, count: p.count, cpu: p.cpu, lastCPU: p.lastCPU,
		left: true, ranked: p.ranked, activity: p.activity}
}
