// SPDX-License-Identifier: Apache-2.0

// Package netstat samples what the kernel counts between network cards and sockets:
// packets of each CPU, and TCP's segments and overflows. The packets per CPU are of
// the whole host, everything else of the network namespace that headroom runs in.
package netstat

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "netstat"

// Sampler reads /proc/net/netstat, snmp and softnet_stat.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads the packets that each CPU processed, and TCP segments and queue overflows (/proc/net/softnet_stat, snmp and netstat, net.core.netdev_max_backlog).",
	Provides: []*observe.Metric{catalog.SoftnetPackets, catalog.SoftnetDropped, catalog.SoftnetSqueezed, catalog.SoftnetLimit,
		catalog.TCPOverflows, catalog.TCPListenDrops, catalog.TCPSegmentsOut, catalog.TCPRetransmits},
	Open: open,
}

// tables holds the two files and the values used of each.
var tables = []struct {
	file, protocol string
	columns        []column
}{
	{"net/snmp", "Tcp", []column{{"OutSegs", catalog.TCPSegmentsOut}, {"RetransSegs", catalog.TCPRetransmits}}},
	{"net/netstat", "TcpExt", []column{{"ListenOverflows", catalog.TCPOverflows}, {"ListenDrops", catalog.TCPListenDrops}}},
}

type column struct {
	name   string
	metric *observe.Metric
}

type reader struct {
	index   *observe.Index
	node    observe.ID
	cpus    map[int]observe.ID
	softnet *sampler.KeptFile
	tables  [2]*sampler.KeptFile
	limit   *sampler.KeptFile // nil if the file is missing
}

// fileLimit is visible only in the host's network namespace (net_core_table in
// net/core/sysctl_net_core.c).
const fileLimit = "sys/net/core/netdev_max_backlog"

func open(h *sampler.Host) (sampler.Reader, error) {
	r := &reader{index: h.Index, node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}), cpus: make(map[int]observe.ID)}
	files := []**sampler.KeptFile{&r.softnet, &r.tables[0], &r.tables[1]}
	for i, file := range []string{"net/softnet_stat", tables[0].file, tables[1].file} {
		path := filepath.Join(h.Proc, file)
		k, err := sampler.Keep(path)
		if err != nil {
			_ = r.Close() //nolint:errcheck // read only
			return nil, explain(path, err)
		}
		*files[i] = k
	}
	r.limit, _ = sampler.Keep(filepath.Join(h.Proc, fileLimit)) // missing outside the host's namespace
	return r, nil
}

func explain(path string, err error) error {
	return sampler.Unreadable(path, err, sampler.NotSupported("let the container see the host's /proc", "there is no %s", path))
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	for i, t := range tables {
		b, err := r.tables[i].Read()
		if err != nil {
			sampler.Gap(s, name, fmt.Errorf("%s: %w", t.file, err))
			continue
		}
		for _, c := range t.columns {
			if v, ok := counter(b, t.protocol, c.name); ok {
				s.Set(c.metric, r.node, float64(v))
			}
		}
	}
	r.backlogLimit(s)
	return r.cpuPackets(s)
}

func (r *reader) backlogLimit(s *observe.Snapshot) {
	if r.limit == nil {
		return
	}
	b, err := r.limit.Read()
	if err != nil {
		sampler.Gap(s, name, fmt.Errorf("%s: %w", fileLimit, err))
		return
	}
	if n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 31); err == nil {
		s.Set(catalog.SoftnetLimit, r.node, float64(n))
	}
}

func (r *reader) cpuPackets(s *observe.Snapshot) error {
	b, err := r.softnet.Read()
	if err != nil {
		return fmt.Errorf("read packets of CPUs: %w", err)
	}
	return parseSoftnet(b, func(c cpuPackets) {
		id := r.id(c.cpu)
		s.Set(catalog.SoftnetPackets, id, float64(c.processed))
		s.Set(catalog.SoftnetDropped, id, float64(c.dropped))
		s.Set(catalog.SoftnetSqueezed, id, float64(c.squeezed))
	})
}

// maxCPU is the highest CPU number accepted: the kernel's own limit (CONFIG_NR_CPUS
// of x86-64).
const maxCPU = 8192

func (r *reader) id(cpu int) observe.ID {
	id, ok := r.cpus[cpu]
	if !ok && cpu < maxCPU {
		id = r.index.ID(observe.Entity{Kind: observe.CPU, ID: strconv.Itoa(cpu)})
		r.index.Describe(id, observe.Info{Parent: r.index.Entity(r.node)})
		r.cpus[cpu] = id
	} else if !ok {
		return observe.None
	}
	return id
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	return errors.Join(r.softnet.Close(), r.tables[0].Close(), r.tables[1].Close(), r.limit.Close())
}
