// SPDX-License-Identifier: Apache-2.0

// Package memory samples the memory of the host: what is available, what was read
// back from disk, and which tasks had to reclaim pages. The total is read with the
// CPUs (package cpu).
package memory

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "memory"

// Sampler reads /proc/meminfo and /proc/vmstat.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads the available memory of the host, and how much was refaulted, swapped and reclaimed (/proc/meminfo, /proc/vmstat).",
	Provides: []*observe.Metric{catalog.HostMemoryAvailable, catalog.HostMemoryFree, catalog.HostMemoryCached, catalog.HostMemoryAnon,
		catalog.HostSwapUsed, catalog.HostSwapTotal, catalog.HostMajorFaults, catalog.HostSwapIn, catalog.HostSwapOut,
		catalog.HostDirectReclaim, catalog.HostDirectlyFreed, catalog.HostRefaults, catalog.HostThrash, catalog.HostOOMKills},
	Open: open,
}

// maxFile is the maximum size read of one file: vmstat has 190 short lines, 5 kB.
const maxFile = 64 << 10

type reader struct {
	node            observe.ID
	meminfo, vmstat *os.File // at most one is nil
	missing         []error  // why a file could not be opened
	buf             []byte
}

func open(h *sampler.Host) (sampler.Reader, error) {
	r := &reader{node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}), buf: make([]byte, maxFile)}
	r.meminfo = r.openFile(filepath.Join(h.Proc, "meminfo"))
	r.vmstat = r.openFile(filepath.Join(h.Proc, "vmstat"))
	if r.meminfo == nil && r.vmstat == nil {
		return nil, r.missing[0]
	}
	return r, nil
}

func (r *reader) openFile(path string) *os.File {
	f, err := os.Open(path)
	if err != nil {
		r.missing = append(r.missing, sampler.Unreadable(path, err, sampler.NotSupported("let the container see the host's /proc", "there is no %s", path)))
		return nil
	}
	return f
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	for _, err := range r.missing {
		sampler.Gap(s, name, err)
	}
	for _, err := range []error{
		r.read(r.meminfo, func(text []byte) { r.setMemory(s, parseMeminfo(text)) }),
		r.read(r.vmstat, func(text []byte) { r.setEvents(s, parseVmstat(text)) }),
	} {
		if err != nil {
			sampler.Gap(s, name, err)
		}
	}
	return nil
}

func (r *reader) read(f *os.File, use func([]byte)) error {
	if f == nil {
		return nil
	}
	n, err := f.ReadAt(r.buf, 0)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return sampler.Empty(f.Name())
	case n == 0 && err != nil:
		return fmt.Errorf("read memory of the host: %w", err)
	}
	use(r.buf[:n])
	return nil
}

func (r *reader) setMemory(s *observe.Snapshot, m meminfo) {
	r.set(s, catalog.HostMemoryAvailable, m.available)
	r.set(s, catalog.HostMemoryFree, m.free)
	if m.cached.known {
		r.set(s, catalog.HostMemoryCached, field{m.cached.value + m.buffers.value, true})
	}
	r.set(s, catalog.HostMemoryAnon, m.anon)
	r.set(s, catalog.HostSwapTotal, m.swapTotal)
	if m.swapTotal.known && m.swapFree.known {
		// A page that was read back keeps its place in swap while there is enough space:
		// it would count twice, in swap and in memory.
		r.set(s, catalog.HostSwapUsed, field{max(0, m.swapTotal.value-m.swapFree.value-m.swapCached.value), true})
	}
}

func (r *reader) setEvents(s *observe.Snapshot, v vmstat) {
	r.set(s, catalog.HostMajorFaults, v.majorFaults)
	r.set(s, catalog.HostSwapIn, v.swapIn)
	r.set(s, catalog.HostSwapOut, v.swapOut)
	r.set(s, catalog.HostDirectReclaim, v.directReclaim)
	r.set(s, catalog.HostDirectlyFreed, v.directlyFreed)
	r.set(s, catalog.HostRefaults, v.refaults)
	r.set(s, catalog.HostThrash, v.restores)
	r.set(s, catalog.HostOOMKills, v.oomKills)
}

func (r *reader) set(s *observe.Snapshot, m *observe.Metric, f field) {
	if f.known {
		s.Set(m, r.node, f.value)
	}
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	for _, f := range []*os.File{r.meminfo, r.vmstat} {
		if f != nil {
			_ = f.Close() //nolint:errcheck // read only
		}
	}
	return nil
}
