// SPDX-License-Identifier: Apache-2.0

// Package fd samples the open files and sockets of processes: descriptors and their
// limit, TCP connections, connections that wait for a busy server, and the queues
// of listening sockets. It reads them in one pass of an eBPF iterator where that is
// allowed, otherwise from /proc, which provides less and costs more. It never reads
// the file or the socket behind a descriptor. A process or socket that disappears
// during a pass is normal.
package fd

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/files"
)

const name = "fd"

// Sampler reads the open files and sockets of every process.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads the open file descriptors of every process by kind and their limit, TCP connections by state, connections that wait to be accepted, and the queue of each listening socket (eBPF iterator over open files, or /proc).",
	Provides: []*observe.Metric{
		catalog.ProcessFDs, catalog.ProcessFDLimit, catalog.ProcessFDHardLimit, catalog.ProcessFDSockets, catalog.ProcessFDFiles,
		catalog.ProcessFDPipes, catalog.ProcessFDAnon, catalog.ProcessFDRefused, catalog.HostFDs, catalog.HostFDLimit,
		catalog.ProcessEstablished, catalog.ProcessCloseWait, catalog.ProcessSynSent, catalog.ProcessListens, catalog.ProcessBacklog,
		catalog.ProcessAccepted, catalog.ProcessDatagrams, catalog.ProcessBrokers,
		catalog.ListenerQueue, catalog.ListenerBacklog, catalog.ListenerSomaxconn, catalog.ListenerBurst, catalog.ListenerDrops,
	},
	Open: open,
}

const (
	// maxProcesses is the maximum number of processes in a snapshot: twice a full node
	// of 250 pods with 40 processes each.
	maxProcesses = 20_000
	// maxListeners is the maximum number of sockets reported individually.
	maxListeners = 4_096
	// manyFDs is the number of descriptors from which a process's limits are always
	// written: the smallest usual limit is 256, and most processes have a dozen
	// descriptors.
	manyFDs = 64
	// tightLimit is the lowest limit that is written for a process with fewer
	// descriptors: sandboxes lower their limit to what they hold (sshd to 1, others to
	// about ten). Their refused calls are counted anyway.
	tightLimit = 16
	// rest is the pause after a pass, as a multiple of the CPU time that the pass
	// took: in a diagnosis passes may cost 1 % of a core. CPU time and not wall time,
	// because a pass takes longer on a busy host, where it is most useful.
	rest = 100
	// shortestRest is the minimum time between passes, slightly less than the second
	// between snapshots.
	shortestRest = 900 * time.Millisecond
	// seldom is the time between passes from which a gap reports that passes are rare.
	seldom = 5 * time.Second
)

// A source makes passes over open files.
type source interface {
	// pass calls reader.process for each process, and reader.listener for each
	// listening TCP socket.
	pass(*reader) error
	// watch collects more about processes that the pass found. It is not part of the
	// cost of the pass.
	watch(*reader) error
	// gaps reports what the last pass did not see.
	gaps(*observe.Snapshot)
	close() error
}

type reader struct {
	index    *observe.Index
	identity sampler.Identity
	proc     string
	fs       procfs.FS // proc, for files that procfs parses
	source   source
	boottime func() time.Duration
	cpu      func() time.Duration // of the calling thread
	turn     func(took time.Duration) bool
	rested   func(time.Duration) time.Duration
	node     observe.ID

	round     int
	now       time.Duration // boot time of this pass
	next      time.Duration // boot time of the next allowed pass
	took      time.Duration // duration of the last pass
	procs     map[int]*process
	refused   int // processes over maxProcesses in this pass
	listeners map[socket]*listener
	unlisted  int // listeners over maxListeners in this pass
	// namespaces holds the counters of dropped connections, by inode of the namespace.
	namespaces map[uint64]*dropped
}

func open(h *sampler.Host) (sampler.Reader, error) {
	if _, err := os.Stat(h.Proc + "/self/stat"); err != nil {
		return nil, sampler.Unreadable(h.Proc+"/self/stat", err, sampler.NotSupported("mount /proc, in a container the host's", "no processes to be seen in %s", h.Proc))
	}
	r, err := newReader(h)
	if err != nil {
		return nil, err
	}
	probe, err := sampler.Probe[*files.Probe](h, "files")
	if err == nil {
		r.source = &kernel{probe: probe, probes: h.Probes}
		return r, nil
	}
	r.source = newTree(h, r, err)
	return r, nil
}

func newReader(h *sampler.Host) (*reader, error) {
	fs, err := procfs.NewFS(h.Proc)
	if err != nil {
		return nil, err
	}
	return &reader{
		index: h.Index, identity: h.Identity, proc: h.Proc, fs: fs, boottime: boottime, cpu: threadCPU, turn: h.Turn, rested: h.Rest,
		node:  h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}),
		procs: make(map[int]*process), listeners: make(map[socket]*listener), namespaces: make(map[uint64]*dropped),
	}, nil
}

func boottime() time.Duration { return clock(unix.CLOCK_BOOTTIME) }

func threadCPU() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(id, &now) != nil {
		return 0 // cannot happen: every supported kernel has it
	}
	return time.Duration(now.Nano())
}

// Read implements sampler.Reader. Between two passes it writes nothing: an earlier
// value is not a current one.
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

// pass makes a pass and schedules the next one. It locks its thread, because it
// measures the thread's CPU time.
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

// gaps reports what the previous pass left out: this pass has not run yet.
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

// writeHost writes the number of open files on the whole host.
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
