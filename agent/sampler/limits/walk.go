// SPDX-License-Identifier: Apache-2.0

package limits

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/refusal"
	"github.com/headroom-project/headroom/agent/sampler"
)

// slowEvery is the number of passes between two reads of what changes slowly: the user of
// a process, its limits and its mappings.
const slowEvery = 10

// A process is what the passes know of a process.
type process struct {
	pid    int
	start  uint64 // clock ticks since boot
	parent int
	round  int // the last pass that saw it
	tasks  int
	facts  facts

	fds      int64 // size of /proc/PID/fd, the number of descriptors since Linux 6.2
	nextList time.Time
	inotify  []instance

	maps   int  // 0 if there are few
	mapDue bool // they are to be counted

	// shown has the metrics that were above zero once: they are written until the process
	// ends.
	shown map[*observe.Metric]bool
}

// walk reads all processes and writes those that use limits.
func (r *reader) walk(s *observe.Snapshot) error {
	r.zombies = make(map[int]int)
	r.full, r.denied, r.cut, r.mapping = 0, false, false, 0
	pids, err := sampler.PIDs(r.proc)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := r.look(pid); refusal.Limit(err) != nil {
			return err
		}
	}
	for pid, p := range r.procs {
		if p.round != r.round {
			delete(r.procs, pid)
		}
	}
	r.write(s)
	r.walkGaps()
	return nil
}

// look reads one process. An error means that the process is gone, or that headroom
// reached a limit.
func (r *reader) look(pid int) error {
	b, err := r.read(r.path(pid, "stat"))
	if err != nil {
		return err
	}
	st, _, err := sampler.ParseStat(b)
	switch {
	case err != nil || st.State == 'X' || st.Kernel():
		return nil
	case st.State == 'Z' && st.Threads <= 1:
		r.zombies[st.Parent]++
		return nil
	}
	p := r.procs[pid]
	if p == nil && len(r.procs) >= maxProcesses {
		r.full++
		return nil
	}
	fresh := p == nil || p.start != st.Start
	if fresh {
		p = &process{pid: pid, start: st.Start, shown: make(map[*observe.Metric]bool)}
		r.procs[pid] = p
	}
	p.round, p.parent, p.tasks = r.round, st.Parent, st.Threads
	if fresh || (pid+r.round)%slowEvery == 0 {
		r.study(p)
	}
	r.countMaps(p)
	return r.listInotify(p, fresh)
}

func (r *reader) path(pid int, file string) string {
	return r.proc + "/" + strconv.Itoa(pid) + "/" + file
}

// read reads a small file. The result is valid until the next read.
func (r *reader) read(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // read only
	n, err := unix.Read(fd, r.buf[:])
	return r.buf[:max(n, 0)], err
}

// write writes what the pass found. Most processes have nothing to write.
func (r *reader) write(s *observe.Snapshot) {
	users := r.users()
	for _, p := range r.procs {
		w := writer{s: s, process: p, id: observe.None, identity: r.identity}
		w.level(catalog.ProcessZombies, float64(r.zombies[p.pid]))
		w.level(catalog.ProcessMaps, float64(p.maps))
		u := users[p.facts.user]
		if w.level(catalog.ProcessInotify, float64(len(p.inotify))) {
			w.level(catalog.ProcessWatches, float64(p.watches()))
			w.level(catalog.ProcessUserInotify, float64(u.instances))
			w.level(catalog.ProcessUserWatches, float64(u.watches))
			w.set(catalog.ProcessUser, float64(p.facts.user))
		}
		if limit := p.facts.taskLimit; limit > 0 && float64(u.tasks) >= limit/leastShare {
			w.set(catalog.ProcessUserTasks, float64(u.tasks))
			w.set(catalog.ProcessUserTaskLimit, limit)
			w.set(catalog.ProcessUser, float64(p.facts.user))
		}
	}
}

// A writer writes the numbers of one process, which is interned when there is one.
type writer struct {
	s        *observe.Snapshot
	process  *process
	identity sampler.Identity
	id       observe.ID
	gone     bool
}

func (w *writer) set(m *observe.Metric, v float64) {
	if w.id == observe.None && !w.gone {
		id, ok := w.identity.Process(w.process.pid, w.process.start)
		if w.id, w.gone = id, !ok; w.gone {
			w.id = observe.None
		}
	}
	w.s.Set(m, w.id, v)
}

// level writes a level that is zero for most processes, and reports whether it was written.
func (w *writer) level(m *observe.Metric, v float64) bool {
	if v == 0 && !w.process.shown[m] {
		return false
	}
	w.process.shown[m] = true
	w.set(m, v)
	return true
}

func (r *reader) walkGaps() {
	if r.full > 0 {
		r.gap(sampler.NotSupported("", "the limit of %d processes was reached: limits of %d processes are not observed", maxProcesses, r.full))
	}
	if r.denied {
		r.gap(sampler.NotSupported("run as root, in a container with the host's /proc and CAP_SYS_PTRACE", "inotify instances of some processes are not counted: their descriptors may not be listed"))
	}
	if r.cut {
		r.gap(sampler.NotSupported("", "inotify instances and watches are not all counted: a process has more than %d descriptors, or an instance more than %s of watches", maxListed, fmt.Sprintf("%d MB", maxWatchBytes>>20)))
	}
}
