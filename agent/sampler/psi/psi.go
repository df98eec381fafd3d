// SPDX-License-Identifier: Apache-2.0

// Package psi samples the host's pressure stall information: for how long
// tasks waited for CPU, memory and disks. It reads the totals, never the
// averages, which lag.
package psi

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "psi"

// Sampler reads /proc/pressure.
var Sampler = &sampler.Sampler{
	Name:     name,
	Doc:      "Reads how long tasks of the host waited for CPU, memory and I/O (/proc/pressure).",
	Provides: []*observe.Metric{catalog.HostCPUSome, catalog.HostMemorySome, catalog.HostMemoryFull, catalog.HostIOSome, catalog.HostIOFull},
	Open:     open,
}

// resources are the files and what their lines are. The full line of cpu says
// nothing about a host (Documentation/accounting/psi.rst).
var resources = []struct {
	name       string
	some, full *observe.Metric
}{
	{"cpu", catalog.HostCPUSome, nil},
	{"memory", catalog.HostMemorySome, catalog.HostMemoryFull},
	{"io", catalog.HostIOSome, catalog.HostIOFull},
}

type reader struct {
	fs   procfs.FS
	node observe.ID
}

func open(h *sampler.Host) (sampler.Reader, error) {
	proc, err := procfs.NewFS(h.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", h.Proc, err)
	}
	r := &reader{fs: proc, node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})}
	if _, err := r.fs.PSIStatsForResource("cpu"); err != nil {
		return nil, explain(err)
	}
	return r, nil
}

// explain distinguishes a kernel without PSI, which has no such files, from one
// with PSI switched off, whose files may open and then refuse to be read.
func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EOPNOTSUPP):
		return sampler.NotSupported("boot with psi=1 on a kernel of 4.20 or later built with CONFIG_PSI", "no pressure stall information in /proc/pressure")
	case errors.Is(err, fs.ErrPermission):
		return sampler.NotSupported("run as root, or let the container see the host's /proc", "/proc/pressure may not be read")
	}
	return fmt.Errorf("read pressure: %w", err)
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	for _, res := range resources {
		p, err := r.fs.PSIStatsForResource(res.name)
		if err != nil {
			gap(s, explain(err))
			continue
		}
		set(s, r.node, res.some, p.Some)
		set(s, r.node, res.full, p.Full)
	}
	return nil
}

func gap(s *observe.Snapshot, err error) {
	var u *sampler.Unsupported
	if errors.As(err, &u) {
		s.Gap(name, u.Reason, u.Cure)
		return
	}
	s.Gap(name, err.Error(), "")
}

func set(s *observe.Snapshot, node observe.ID, m *observe.Metric, line *procfs.PSILine) {
	if m != nil && line != nil {
		s.Set(m, node, float64(line.Total)/1e6) // µs
	}
}

// Close implements sampler.Reader.
func (*reader) Close() error { return nil }
