// SPDX-License-Identifier: Apache-2.0

// Package conntrack samples the size and the limit of the connection tracking
// table. Every network namespace has its own table; all share one limit, which
// applies to each table (nf_conntrack_max in net/netfilter/nf_conntrack_core.c).
// The package reads the table of the namespace that headroom runs in, which on a
// node carries the traffic of every pod.
package conntrack

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "conntrack"

// Sampler reads the sysctls and statistics of nf_conntrack.
var Sampler = &sampler.Sampler{
	Name:     name,
	Doc:      "Reads the number of entries in the connection tracking table, its limit, and what was dropped or evicted because it was full (sysctls and statistics of nf_conntrack).",
	Provides: []*observe.Metric{catalog.ConntrackCount, catalog.ConntrackLimit, catalog.ConntrackDrops, catalog.ConntrackEvictions},
	Open:     open,
}

const (
	fileCount = "sys/net/netfilter/nf_conntrack_count"
	fileLimit = "sys/net/netfilter/nf_conntrack_max"
	// fileStat requires CONFIG_NF_CONNTRACK_PROCFS, and root.
	fileStat = "net/stat/nf_conntrack"
)

type reader struct {
	node         observe.ID
	count, limit *sampler.KeptFile
	stat         *sampler.KeptFile // nil if the file is missing
	noStat       error
}

func open(h *sampler.Host) (sampler.Reader, error) {
	r := &reader{node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})}
	var err error
	if r.count, err = sampler.Keep(filepath.Join(h.Proc, fileCount)); err != nil {
		return nil, explain(filepath.Join(h.Proc, fileCount), err)
	}
	if r.limit, err = sampler.Keep(filepath.Join(h.Proc, fileLimit)); err != nil {
		_ = r.Close() //nolint:errcheck // read only
		return nil, explain(filepath.Join(h.Proc, fileLimit), err)
	}
	if r.stat, err = sampler.Keep(filepath.Join(h.Proc, fileStat)); err != nil {
		r.noStat = sampler.Unreadable(filepath.Join(h.Proc, fileStat), err,
			sampler.NotSupported("use a kernel built with CONFIG_NF_CONNTRACK_PROCFS=y", "packets that find the connection tracking table full are not counted: there is no %s", fileStat))
	}
	return r, nil
}

// explain returns an error without a fix for a host without connection tracking: it
// has no table that could be full.
func explain(path string, err error) error {
	return sampler.Unreadable(path, err, sampler.NotSupported("", "this host does not track connections (no nf_conntrack), so no table can be full"))
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	for _, f := range []struct {
		file *sampler.KeptFile
		to   *observe.Metric
	}{{r.count, catalog.ConntrackCount}, {r.limit, catalog.ConntrackLimit}} {
		b, err := f.file.Read()
		if err != nil {
			return fmt.Errorf("read connection tracking: %w", err)
		}
		// A limit of 0 means no limit (nf_conntrack_max in __nf_conntrack_alloc).
		if v, ok := number(b); ok && (v > 0 || f.to != catalog.ConntrackLimit) {
			s.Set(f.to, r.node, float64(v))
		}
	}
	if r.stat == nil {
		sampler.Gap(s, name, r.noStat)
		return nil
	}
	b, err := r.stat.Read()
	if err != nil {
		return fmt.Errorf("read connection tracking: %w", err)
	}
	if dropped, evicted, ok := parseStat(b); ok {
		s.Set(catalog.ConntrackDrops, r.node, float64(dropped))
		s.Set(catalog.ConntrackEvictions, r.node, float64(evicted))
	}
	return nil
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	return errors.Join(r.count.Close(), r.limit.Close(), r.stat.Close())
}
