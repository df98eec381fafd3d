// SPDX-License-Identifier: Apache-2.0

// Package cpu samples how the time of each logical CPU was spent, and the number of
// runnable tasks. It never averages over CPUs: one busy CPU among idle ones is a
// finding.
package cpu

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// Sampler reads /proc/stat.
var Sampler = &sampler.Sampler{
	Name: "cpu",
	Doc:  "Reads the time of each logical CPU by mode, and the number of runnable tasks (/proc/stat).",
	Provides: []*observe.Metric{catalog.CPUUser, catalog.CPUSystem, catalog.CPUIdle, catalog.CPUIOWait, catalog.CPUIRQ,
		catalog.CPUSoftIRQ, catalog.CPUSteal, catalog.CPUGuest, catalog.CPUCount, catalog.MemoryTotal, catalog.RunnableTasks},
	Open: open,
}

type reader struct {
	fs     procfs.FS
	path   string
	index  *observe.Index
	node   observe.ID
	cpus   map[int64]observe.ID
	memory float64 // bytes; 0 if not known
}

func open(h *sampler.Host) (sampler.Reader, error) {
	proc, err := procfs.NewFS(h.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", h.Proc, err)
	}
	r := &reader{
		fs: proc, path: filepath.Join(h.Proc, "stat"), index: h.Index, cpus: make(map[int64]observe.ID),
		node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}),
	}
	if _, err := r.stat(); err != nil {
		return nil, err
	}
	if m, err := proc.Meminfo(); err == nil && m.MemTotalBytes != nil {
		r.memory = float64(*m.MemTotalBytes)
	}
	return r, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	st, err := r.stat()
	if err != nil {
		return err
	}
	for n, c := range st.CPU {
		r.cpu(s, r.id(n), c)
	}
	s.Set(catalog.CPUCount, r.node, float64(len(st.CPU)))
	s.Set(catalog.RunnableTasks, r.node, float64(st.ProcessesRunning))
	if r.memory > 0 {
		s.Set(catalog.MemoryTotal, r.node, r.memory)
	}
	return nil
}

func (r *reader) stat() (procfs.Stat, error) {
	st, err := r.fs.Stat()
	switch {
	case err != nil:
		return st, sampler.Unreadable(r.path, err, sampler.NotSupported("let the container see the host's /proc", "there is no %s", r.path))
	case len(st.CPU) == 0:
		return st, sampler.Empty(r.path)
	}
	return st, nil
}

// cpu writes modes that do not overlap: the kernel counts guest time in user and
// nice as well (account_guest_time in kernel/sched/cputime.c).
func (r *reader) cpu(s *observe.Snapshot, id observe.ID, c procfs.CPUStat) {
	guest := c.Guest + c.GuestNice
	s.Set(catalog.CPUUser, id, c.User+c.Nice-guest)
	s.Set(catalog.CPUSystem, id, c.System)
	s.Set(catalog.CPUIdle, id, c.Idle)
	s.Set(catalog.CPUIOWait, id, c.Iowait)
	s.Set(catalog.CPUIRQ, id, c.IRQ+c.SoftIRQ)
	s.Set(catalog.CPUSoftIRQ, id, c.SoftIRQ)
	s.Set(catalog.CPUSteal, id, c.Steal)
	s.Set(catalog.CPUGuest, id, guest)
}

func (r *reader) id(n int64) observe.ID {
	id, ok := r.cpus[n]
	if !ok {
		id = r.index.ID(observe.Entity{Kind: observe.CPU, ID: strconv.FormatInt(n, 10)})
		r.index.Describe(id, observe.Info{Parent: r.index.Entity(r.node)})
		r.cpus[n] = id
	}
	return id
}

// Close implements sampler.Reader.
func (*reader) Close() error { return nil }
