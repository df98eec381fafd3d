// SPDX-License-Identifier: Apache-2.0

// Package limits samples the use of the kernel's limits on things that have no sampler of
// their own: processes and threads, zombies, inotify instances, memory mappings and
// neighbours. It reads /proc and the neighbour tables. It counts the mappings of a
// process and never keeps what they map.
package limits

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "limits"

// Sampler reads the kernel's limits and what uses them.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads how many processes and threads, zombies, inotify instances and watches, memory mappings and neighbours exist, and their limits (/proc, sysctls).",
	Provides: []*observe.Metric{
		catalog.HostTasks, catalog.HostThreadMax, catalog.HostPIDMax, catalog.ProcessZombies,
		catalog.ProcessUser, catalog.ProcessUserTasks, catalog.ProcessUserTaskLimit,
		catalog.ProcessInotify, catalog.ProcessWatches, catalog.ProcessUserInotify, catalog.ProcessUserWatches,
		catalog.InotifyInstanceLimit, catalog.InotifyWatchLimit, catalog.ProcessMaps, catalog.MapLimit,
		catalog.NeighbourEntries4, catalog.NeighbourEntries6, catalog.NeighbourLimit4, catalog.NeighbourLimit6,
		catalog.NeighbourExempt4, catalog.NeighbourExempt6, catalog.NeighbourRefused4, catalog.NeighbourRefused6,
	},
	Open: open,
}

const (
	// rest is the pause after a pass over all processes, as a multiple of its CPU time: in
	// a diagnosis passes may cost 1 % of a core, in an agent a quarter of that.
	rest, restSparing = 100, 400
	// shortest is the minimum time between passes, shortestSparing the same in an agent:
	// these numbers change slowly.
	shortest, shortestSparing = 5 * time.Second, 15 * time.Second
	// maxProcesses is the maximum number of processes in a pass: twice a full node of 250
	// pods with 40 processes each.
	maxProcesses = 20_000
)

type reader struct {
	proc     string
	fs       procfs.FS
	identity sampler.Identity
	patience *patience.Patience
	turn     func(took time.Duration) bool
	sparing  bool
	node     observe.ID

	loadavg  *sampler.KeptFile
	settings map[*observe.Metric]float64 // of the last pass

	round   int
	next    time.Time
	took    time.Duration // CPU time of the last pass
	procs   map[int]*process
	zombies map[int]int // by pid of the parent
	full    int         // processes over maxProcesses in this pass
	// denied is set if the descriptors of a process may not be listed, cut if one has too
	// many of them.
	denied, cut bool
	mapping     time.Duration // time that counting mappings has taken in this pass
	gaps        []observe.Gap // of the last pass
	buf         [8192]byte
}

func open(h *sampler.Host) (sampler.Reader, error) {
	path := filepath.Join(h.Proc, "loadavg")
	loadavg, err := sampler.Keep(path)
	if err != nil {
		return nil, sampler.Unreadable(path, err, sampler.NotSupported("mount /proc, in a container the host's", "there is no %s", path))
	}
	fs, err := procfs.NewFS(h.Proc)
	if err != nil {
		_ = loadavg.Close() //nolint:errcheck // read only
		return nil, err
	}
	return &reader{
		proc: h.Proc, fs: fs, identity: h.Identity, patience: h.Patience, turn: h.Turn, sparing: h.Sparing,
		node:    h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}),
		loadavg: loadavg, procs: make(map[int]*process),
	}, nil
}

// Read implements sampler.Reader. Between two passes it writes the settings and the number
// of tasks, and nothing about processes: an earlier value is not a current one.
func (r *reader) Read(s *observe.Snapshot) error {
	b, err := r.loadavg.Read()
	if err != nil {
		return fmt.Errorf("read the number of tasks: %w", err)
	}
	if n, ok := parseTasks(b); ok {
		s.Set(catalog.HostTasks, r.node, n)
	}
	if now := time.Now(); now.After(r.next) && r.turn(r.took) {
		if err := r.pass(s); err != nil {
			return fmt.Errorf("read limits of processes: %w", err)
		}
		factor, least := time.Duration(rest), shortest
		if r.sparing {
			factor, least = restSparing, shortestSparing
		}
		r.next = now.Add(max(least, factor*r.took))
	}
	for m, v := range r.settings {
		s.Set(m, r.node, v)
	}
	s.Gaps = append(s.Gaps, r.gaps...)
	return nil
}

// pass reads everything that is not read at each tick. It locks its thread, because it
// measures the thread's CPU time.
func (r *reader) pass(s *observe.Snapshot) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadCPU()
	r.round++
	r.gaps = r.gaps[:0]
	r.readSettings()
	r.readNeighbours(s)
	err := r.walk(s)
	r.took = threadCPU() - began
	return err
}

func threadCPU() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) != nil {
		return 0 // cannot happen: every supported kernel has it
	}
	return time.Duration(now.Nano())
}

// settings are the files of limits, below /proc/sys.
var settings = map[*observe.Metric]string{
	catalog.HostThreadMax:        "kernel/threads-max",
	catalog.HostPIDMax:           "kernel/pid_max",
	catalog.InotifyInstanceLimit: "fs/inotify/max_user_instances",
	catalog.InotifyWatchLimit:    "fs/inotify/max_user_watches",
	catalog.MapLimit:             "vm/max_map_count",
	catalog.NeighbourLimit4:      "net/ipv4/neigh/default/gc_thresh3",
	catalog.NeighbourLimit6:      "net/ipv6/neigh/default/gc_thresh3",
}

// readSettings reads the limits. Kernels without inotify, IPv4 or IPv6 do not have theirs,
// and network namespaces other than the first have no limits of neighbours.
func (r *reader) readSettings() {
	r.settings = make(map[*observe.Metric]float64)
	for m, file := range settings {
		path := filepath.Join(r.proc, "sys", file)
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			r.gap(sampler.Unreadable(path, err, nil))
			continue
		}
		if n, ok := sampler.Number(b); ok {
			r.settings[m] = float64(n)
		}
	}
}

// gap records a gap of this pass.
func (r *reader) gap(err error) {
	if err == nil {
		return
	}
	var s observe.Snapshot
	sampler.Gap(&s, name, err)
	r.gaps = append(r.gaps, s.Gaps...)
}

// Close implements sampler.Reader.
func (r *reader) Close() error { return r.loadavg.Close() }
