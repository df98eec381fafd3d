// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/refusal"
	"github.com/headroom-project/headroom/agent/sampler"
)

// A tree reads /proc, on hosts that do not allow the iterator. Opening files and
// stat are expensive, so it reads schedstat first, through an open descriptor: if a
// single-threaded process did not run, nothing else has changed.
type tree struct {
	dir     int
	entries []byte
	noSched bool
}

// treeState is what a tree keeps of a process.
type treeState struct {
	sched, stat kept
	before      usage // of the main thread
	last        sampler.Stat
	read        bool // last is set
	busyUntil   int  // the last reading in which its threads are read
}

func (t *treeState) close(f *files) {
	f.close(&t.sched)
	f.close(&t.stat)
	t.read = false
}

// stayBusy is the number of readings for which the threads of a process are still
// read after it was busy, so that their values are consecutive.
const stayBusy = 30

func newTree(proc string, r *reader) (source, error) {
	dir, err := unix.Open(proc, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", proc, err)
	}
	t := &tree{dir: dir, entries: make([]byte, 64<<10)}
	if _, err := r.files.once(proc + "/self/schedstat"); refusal.Limit(err) != nil {
		t.close()
		return nil, err
	} else if err != nil {
		t.noSched = true
		r.gaps = append(r.gaps, observe.Gap{Source: name, Reason: "run-queue time is not known: /proc has no schedstat", Cure: "use a kernel built with CONFIG_SCHED_INFO"})
	}
	return t, nil
}

func (t *tree) close() {
	_ = unix.Close(t.dir) //nolint:errcheck // read only
}

func (t *tree) scan(r *reader) error {
	var starved error
	err := numbers(t.dir, t.entries, func(pid int) bool {
		if err := t.process(r, pid); refusal.Limit(err) != nil {
			starved = err
		}
		return starved == nil
	})
	return errors.Join(starved, err)
}

// process reads one process. An error means that the process is gone, or that
// headroom reached a limit.
func (t *tree) process(r *reader, pid int) error {
	p := r.process(pid)
	if p == nil {
		return nil
	}
	own, err := t.main(r, p)
	if err != nil {
		return err
	}
	if err := t.stat(r, p, own); err != nil {
		return err
	}
	last := &p.tree.last
	if last.State == 'Z' && last.Threads <= 1 || last.State == 'X' {
		return nil
	}
	p.alive = r.round
	p.start, p.kernel, p.count = last.Start, last.Kernel(), last.Threads
	p.cpu = min(last.CPU, math.MaxUint64/uint64(userTick)) * uint64(userTick)
	p.counts.faults, p.counts.faultsKnown = last.MajorFaults, true
	t.threads(r, p, own)
	return nil
}

// main reads the usage of the main thread.
func (t *tree) main(r *reader, p *process) (usage, error) {
	if t.noSched {
		return usage{}, nil
	}
	b, err := r.files.again(&p.tree.sched, p.pid, "schedstat")
	if err != nil {
		return usage{}, err
	}
	return parseSchedstat(b)
}

// stat reads /proc/PID/stat, unless only its memory can have changed, which is read
// less often.
func (t *tree) stat(r *reader, p *process, own usage) error {
	ts := &p.tree
	idle := ts.read && !t.noSched && own == ts.before && ts.last.Threads == 1
	ts.before = own
	if idle && (p.pid+r.round)%slowEvery != 0 {
		return nil
	}
	b, err := r.files.again(&ts.stat, p.pid, "stat")
	if err != nil {
		return err
	}
	if ts.last, _, err = sampler.ParseStat(b); err != nil {
		return err
	}
	if ts.last.Threads <= 1 {
		r.files.close(&ts.stat) // rarely read
	}
	ts.read = true
	p.counts.resident = ts.last.Resident
	return nil
}

// threads reads the main thread, and all others while the process is busy.
func (t *tree) threads(r *reader, p *process, own usage) {
	if t.noSched {
		return
	}
	if p.kernel {
		p.used, p.complete = own, true
		return
	}
	if p.count <= 1 {
		p.complete = true
		r.thread(p, p.pid, p.start, own)
		return
	}
	if r.seconds > 0 && p.since < r.round && p.cpu > p.lastCPU && seconds(p.cpu-p.lastCPU)/r.seconds >= busy {
		p.tree.busyUntil = r.round + stayBusy
	}
	if r.round <= p.tree.busyUntil {
		t.all(r, p)
	}
}

// all reads every thread of a process.
func (t *tree) all(r *reader, p *process) {
	dir, err := unix.Open(r.files.pid(p.pid, "task"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(dir) //nolint:errcheck // read only
	entries := make([]byte, 8<<10)
	prefix := r.files.pid(p.pid, "task/")
	complete := true
	err = numbers(dir, entries, func(tid int) bool {
		if len(p.threads) > maxRead {
			complete = false
			return false
		}
		b, err := r.files.once(fmt.Sprintf("%s%d/schedstat", prefix, tid))
		if err != nil {
			return true // the thread is gone
		}
		if u, err := parseSchedstat(b); err == nil {
			r.thread(p, tid, p.start, u)
		}
		return true
	})
	p.complete = err == nil && complete
}

// maxRead is the maximum number of threads read of one process, at about 10 µs
// each.
const maxRead = 1_000
