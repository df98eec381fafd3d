// SPDX-License-Identifier: Apache-2.0

package limits

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// halfFull is the share of a table from which the entries that do not count are counted.
const halfFull = 0.5

// A table is one of the neighbour tables, which all network namespaces share.
type table struct {
	file                            string // of its statistics
	family                          int
	entries, limit, exempt, refused *observe.Metric
}

var tables = []table{
	{"arp_cache", netlink.FAMILY_V4, catalog.NeighbourEntries4, catalog.NeighbourLimit4, catalog.NeighbourExempt4, catalog.NeighbourRefused4},
	{"ndisc_cache", netlink.FAMILY_V6, catalog.NeighbourEntries6, catalog.NeighbourLimit6, catalog.NeighbourExempt6, catalog.NeighbourRefused6},
}

// readNeighbours reads the statistics of the tables (neigh_stat_seq_show in
// net/core/neighbour.c): a line for each CPU, in which entries is the same.
func (r *reader) readNeighbours(s *observe.Snapshot) {
	stats, err := r.fs.NetStat()
	if err != nil {
		r.gap(sampler.Unreadable(r.proc+"/net/stat", err, nil))
		return
	}
	found := 0
	for _, st := range stats {
		for _, t := range tables {
			if st.Filename == t.file && len(st.Stats["entries"]) > 0 {
				found++
				r.readTable(s, t, st.Stats)
			}
		}
	}
	if found == 0 {
		r.gap(sampler.NotSupported("run in the network namespace of the host (hostNetwork: true)", "the neighbour tables are not known: their statistics exist only in the first network namespace"))
	}
}

func (r *reader) readTable(s *observe.Snapshot, t table, stats map[string][]uint64) {
	entries := float64(stats["entries"][0])
	s.Set(t.entries, r.node, entries)
	var refused uint64
	for _, n := range stats["table_fulls"] {
		refused = sampler.Sum(refused, n)
	}
	s.Set(t.refused, r.node, float64(refused))
	if limit := r.settings[t.limit]; limit == 0 || entries < halfFull*limit {
		return
	}
	if list, err := netlink.NeighList(0, t.family); err == nil {
		s.Set(t.exempt, r.node, float64(exempt(list)))
	}
}

// exempt counts the neighbours that do not count towards the limit (neigh_update_gc_list).
func exempt(list []netlink.Neigh) int {
	n := 0
	for _, e := range list {
		if e.State&netlink.NUD_PERMANENT != 0 || e.Flags&unix.NTF_EXT_LEARNED != 0 {
			n++
		}
	}
	return n
}
