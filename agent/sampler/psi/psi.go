// SPDX-License-Identifier: Apache-2.0

// Package psi samples the host's pressure stall information: how long tasks waited
// for CPU, memory and disks. It reads the totals, not the averages, which lag.
package psi

import (
	"fmt"
	"path/filepath"

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

// resources lists the files and the metrics of their lines. The full line of cpu is
// undefined for a host (Documentation/accounting/psi.rst).
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
	proc string
	node observe.ID
}

func open(h *sampler.Host) (sampler.Reader, error) {
	proc, err := procfs.NewFS(h.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", h.Proc, err)
	}
	r := &reader{fs: proc, proc: h.Proc, node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})}
	if _, err := r.fs.PSIStatsForResource("cpu"); err != nil {
		return nil, explain(h.Proc, "cpu", err)
	}
	return r, nil
}

// explain distinguishes a kernel without PSI, which has no such files, from one
// with PSI switched off, whose files may open but cannot be read.
func explain(proc, resource string, err error) error {
	return sampler.Unreadable(filepath.Join(proc, "pressure", resource), err,
		sampler.NotSupported("boot with psi=1 on a kernel of 4.20 or later built with CONFIG_PSI", "no pressure stall information in /proc/pressure"))
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	for _, res := range resources {
		p, err := r.fs.PSIStatsForResource(res.name)
		if err != nil {
			sampler.Gap(s, name, explain(r.proc, res.name, err))
			continue
		}
		set(s, r.node, res.some, p.Some)
		set(s, r.node, res.full, p.Full)
	}
	return nil
}

func set(s *observe.Snapshot, node observe.ID, m *observe.Metric, line *procfs.PSILine) {
	if m != nil && line != nil {
		s.Set(m, node, float64(line.Total)/1e6) // µs
	}
}

// Close implements sampler.Reader.
func (*reader) Close() error { return nil }
