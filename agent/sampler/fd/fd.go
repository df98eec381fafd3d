// SPDX-License-Identifier: Apache-2.0

// Package fd samples what processes hold open: descriptors and how many they
// may have, TCP connections, connections that wait for them, and the queues of
// listening sockets. All of it comes from one pass of an eBPF iterator where
// that is allowed, else from /proc, which tells less and costs more. It never
// reads what a descriptor leads to, and a process or socket that vanishes in
// between is normal.
package fd

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/files"
)

const name = "fd"

// Sampler reads what every process of the host holds open.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads the open file descriptors of every process by kind and their limit, TCP connections by state, connections that wait to be accepted, and the queue of each listening socket (eBPF iterator over open files, or /proc).",
	Provides: []*observe.Metric{
		catalog.ProcessFDs, catalog.ProcessFDLimit, catalog.ProcessFDHardLimit, catalog.ProcessFDSockets, catalog.ProcessFDFiles,
		catalog.ProcessFDPipes, catalog.ProcessFDAnon, catalog.ProcessFDRefused, catalog.HostFDs, catalog.HostFDLimit,
		catalog.ProcessEstablished, catalog.ProcessCloseWait, catalog.ProcessSynSent, catalog.ProcessListens, catalog.ProcessBacklog,
		catalog.ListenerQueue, catalog.ListenerBacklog, catalog.ListenerSomaxconn, catalog.ListenerDrops,
	},
	Open: open,
}

const (
	// maxProcesses bounds a snapshot: twice a full node of 250 pods with 40
	// processes each.
	maxProcesses = 20_000
	// maxListeners bounds the sockets that are reported individually.
	maxListeners = 4_096
	// manyFDs is from how many descriptors on a process's limits are written,
	// whatever they are: the smallest usual limit is 256, and most processes have
	// a dozen.
	manyFDs = 64
	// tightLimit is the lowest limit that is written of a process with fewer:
	// sandboxes lower theirs to what they hold (sshd to 1, others to some ten).
	// Their refused calls are counted all the same.
	tightLimit = 16
	// rest is how long nothing is read after a pass, in multiples of the CPU that
	// the pass took: it may cost 1 % of a core, of a diagnosis. On a busy host a pass takes
	// longer by the clock, and that is when it is worth most.
	rest = 100
	// shortestRest is the least time between passes, a little less than the
	// second that snapshots lie apart.
	shortestRest = 900 * time.Millisecond
	// seldom is the time between passes from which it is worth saying that
	// there are few.
	seldom = 5 * time.Second
)

// A source makes passes over what is open.
type source interface {
	// pass calls reader.process for each process, and reader.listener for each
	// listening TCP socket.
	pass(*reader) error
	// watch looks closer at what the pass found. It does not count as a pass.
	watch(*reader) error
	// gaps says what was not seen in the last pass.
	gaps(*observe.Snapshot)
	close() error
}

type reader struct {
	index    *observe.Index
	identity sampler.Identity
	proc     string
	source   source
	boottime func() time.Duration
	cpu      func() time.Duration // of the calling thread
	turn     func(took time.Duration) bool
	rested   func(time.Duration) time.Duration
	node     observe.ID

	round     int
	now       time.Duration // boot time of this pass
	next      time.Duration // when the next pass may be made
	took      time.Duration // the last pass
	procs     map[int]*process
	refused   int // processes beyond maxProcesses in this pass
	listeners map[socket]*listener
	unlisted  int // listeners beyond maxListeners in this pass
	// namespaces are the accounts of dropped connections, by inode.
	namespaces map[uint64]*dropped
}

func open(h *sampler.Host) (sampler.Reader, error) {
	if _, err := os.Stat(h.Proc + "/self/stat"); err != nil {
		return nil, sampler.Unreadable(h.Proc+"/self/stat", err, sampler.NotSupported("mount /proc, in a container the host's", "no processes to be seen in %s", h.Proc))
	}
	r := newReader(h)
	probe, err := sampler.Probe[*files.Probe](h, "files")
	if err == nil {
		r.source = &kernel{probe: probe}
		return r, nil
	}
	r.source = newTree(h, r, err)
	return r, nil
}

func newReader(h *sampler.Host) *reader {
	return &reader{
		index: h.Index, identity: h.Identity, proc: h.Proc, boottime: boottime, cpu: threadCPU, turn: h.Turn, rested: h.Rest,
		node:  h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}),
		procs: make(map[int]*process), listeners: make(map[socket]*listener), namespaces: make(map[uint64]*dropped),
	}
}

func boottime() time.Duration { return clock(unix.CLOCK_BOOTTIME) }

func threadCPU() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(id, &now) != nil {
		return 0 // cannot happen: all are older than what eBPF needs
	}
	return time.Duration(now.Nano())
}

// Read implements sampler.Reader. Between two passes it writes nothing: what
// was read before is no reading of now.
func (r *reader) Read(s *observe.Snapshot) error {
	r.source.gaps(s)
	r.gaps(s)
	now := r.boottime()
	if r.round > 0 && (now < r.next || !r.turn(r.took)) {
		return nil
	}
	if err := r.pass(now); err != nil {
		return fmt.Errorf("read open files: %w", err)
	}
	if err := r.source.watch(r); err != nil {
		return fmt.Errorf("read refused calls: %w", err)
	}
	for _, p := range r.procs {
		r.write(s, p)
	}
	r.writeListeners(s)
	r.writeHost(s)
	return nil
}

// pass makes one and plans the next. The thread is its own meanwhile, as its
// CPU time is measured.
func (r *reader) pass(now time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r.round, r.now = r.round+1, now
	r.refused, r.unlisted = 0, 0
	began := r.cpu()
	if err := r.source.pass(r); err != nil {
		return err
	}
	r.took = r.cpu() - began
	r.next = now + max(shortestRest, r.rested(rest*r.took))
	return nil
}

// gaps adds what the pass before left out: this pass has not run yet.
func (r *reader) gaps(s *observe.Snapshot) {
	if r.refused > 0 {
		s.Gap(name, fmt.Sprintf("file descriptors of some processes are not counted: the limit of %d processes was reached", maxProcesses), "")
	}
	if r.unlisted > 0 {
		s.Gap(name, fmt.Sprintf("some listening sockets are not observed: the limit of %d was reached", maxListeners), "")
	}
	if r.round > 0 && r.next-r.now > seldom {
		s.Gap(name, fmt.Sprintf("so many files are open that they are read less often than every %v: peaks between two readings are not observed, and a leak is detected only after six readings", seldom),
			"observe for longer: a minute has room for six readings")
	}
}

// writeHost writes how many files are open on the whole host.
func (r *reader) writeHost(s *observe.Snapshot) {
	path := r.proc + "/sys/fs/file-nr"
	b, err := os.ReadFile(path)
	if err != nil {
		sampler.Gap(s, name, sampler.Unreadable(path, err, sampler.NotSupported("let the container see the host's /proc", "there is no %s", path)))
		return
	}
	used, limit, err := parseFileNr(b)
	if err != nil {
		s.Gap(name, "cannot read the number of open files of the host: "+err.Error(), "")
		return
	}
	s.Set(catalog.HostFDs, r.node, float64(used))
	s.Set(catalog.HostFDLimit, r.node, float64(limit))
}

// Close implements sampler.Reader.
func (r *reader) Close() error { return r.source.close() }
