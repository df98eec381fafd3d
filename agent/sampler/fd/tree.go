// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/refusal"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxListed is the maximum number of descriptors listed in one pass if the kernel
	// does not count them: about 10 ms.
	maxListed = 20_000
	// limitEvery is the minimum time between two reads of a process's limits.
	// limitSpread is the maximum delay in seconds on top of it, which depends on the
	// pid.
	limitEvery  = time.Minute
	limitSpread = 60
)

// A tree reads /proc, on hosts that do not allow the iterator.
type tree struct {
	proc string
	why  string // reason why there is no iterator
	cure string
	// counts is set if the size of /proc/PID/fd is the number of descriptors, since
	// Linux 6.2 (f1f1f2569901).
	counts bool
	seen   map[int]*treeProcess
	listed int // descriptors listed in this pass
	turn   int // pid at which this pass starts listing
	later  int // pid at which this pass stopped listing
	listen *listening
	buf    [8192]byte
}

// treeProcess is what a tree keeps of a process.
type treeProcess struct {
	start uint64
	round int
	cpu   uint64 // clock ticks
	at    time.Duration
	share float64 // of a core, between the last two passes

	fds        int
	counted    bool
	soft, hard uint64
	limitsNext time.Duration // boot time of the next read of limits, 0: not read yet

	listens listens
}

func newTree(h *sampler.Host, r *reader, why error) *tree {
	t := &tree{proc: h.Proc, why: why.Error(), cure: sampler.Cure(why), seen: make(map[int]*treeProcess)}
	var st unix.Stat_t
	t.counts = unix.Stat(h.Proc+"/self/fd", &st) == nil && st.Size > 0
	t.listen = newListening(h.Proc, r)
	return t
}

func (t *tree) gaps(s *observe.Snapshot) {
	s.Gap(name, "without eBPF, file descriptors are not counted by kind and connections not by state; listening sockets and their queues are read only for processes that use CPU time, and in other network namespaces the limits and drops of the queues are not known", t.cure)
	if !t.counts && t.later > 0 {
		s.Gap(name, fmt.Sprintf("more than %d file descriptors are open, so processes are read in turns: before Linux 6.2 counting descriptors means listing them", maxListed), "use Linux 6.2 or later, or allow eBPF")
	}
}

func (*tree) watch(*reader) error { return nil }

func (*tree) close() error { return nil }

func (t *tree) path(pid int, file string) string {
	return t.proc + "/" + strconv.Itoa(pid) + "/" + file
}

func (t *tree) pass(r *reader) error {
	pids, err := sampler.PIDs(t.proc)
	if err != nil {
		return err
	}
	t.listed, t.turn, t.later = 0, t.later, 0
	t.listen.begin()
	for _, pid := range pids {
		if err := t.look(r, pid); refusal.Limit(err) != nil {
			return err
		}
	}
	for pid, p := range t.seen {
		if p.round != r.round {
			delete(t.seen, pid)
		}
	}
	return nil
}

// look reads one process. An error means that the process is gone, or that headroom
// reached a limit.
func (t *tree) look(r *reader, pid int) error {
	b, err := t.read(t.path(pid, "stat"))
	if err != nil {
		return err
	}
	st, _, err := sampler.ParseStat(b)
	if err != nil || st.State == 'Z' || st.State == 'X' || st.Kernel() {
		return nil // it has no descriptors
	}
	p := r.process(pid, st.Start)
	if p == nil {
		return nil
	}
	own := t.remember(r, pid, st)
	t.count(own, pid)
	p.held.fds, p.held.counted = own.fds, own.counted
	t.limits(r, own, pid)
	p.held.soft, p.held.hard, p.held.limited = own.soft, own.hard, own.limitsNext > 0
	t.listen.look(r, p, own)
	return nil
}

func (t *tree) remember(r *reader, pid int, st sampler.Stat) *treeProcess {
	p := t.seen[pid]
	if p == nil || p.start != st.Start {
		p = &treeProcess{start: st.Start, cpu: st.CPU, at: r.now}
		t.seen[pid] = p
	}
	if step := r.now - p.at; step > 0 && st.CPU >= p.cpu {
		p.share = float64(time.Duration(st.CPU-p.cpu)*userTick) / float64(step)
	}
	p.cpu, p.at, p.round = st.CPU, r.now, r.round
	return p
}

// count counts descriptors. If they have to be listed, each pass continues where
// the previous one stopped.
func (t *tree) count(p *treeProcess, pid int) {
	path := t.path(pid, "fd")
	if t.counts {
		var st unix.Stat_t
		p.counted = unix.Stat(path, &st) == nil
		p.fds = int(st.Size)
		return
	}
	p.counted = false
	if pid < t.turn || t.later > 0 {
		return
	}
	if t.listed >= maxListed {
		t.later = pid
		return
	}
	dir, err := os.Open(path)
	if err != nil {
		return // belongs to another user
	}
	defer dir.Close() //nolint:errcheck // read only
	names, err := dir.Readdirnames(-1)
	p.fds, p.counted = len(names), err == nil
	t.listed += len(names)
}

// limits reads the limits of a process, unless it holds less than half of any limit
// that is written. Processes whose limits were read in the same pass are read again
// in different passes.
func (t *tree) limits(r *reader, p *treeProcess, pid int) {
	if p.fds < tightLimit/2 || r.now < p.limitsNext {
		return
	}
	b, err := t.read(t.path(pid, "limits"))
	if err != nil {
		return
	}
	if soft, hard, err := parseLimits(b); err == nil {
		p.soft, p.hard, p.limitsNext = soft, hard, r.now+limitEvery+time.Duration(pid%limitSpread)*time.Second
	}
}

// read reads a small file. The result is valid until the next read.
func (t *tree) read(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // read only
	n, err := unix.Read(fd, t.buf[:])
	return t.buf[:max(n, 0)], err
}
