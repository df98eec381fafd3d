// SPDX-License-Identifier: Apache-2.0

package pagecachethrash

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A reading is what disks did for reads. Rates are per second.
type reading struct {
	reads, bytes float64
	latency      float64 // seconds
}

// disks adds up the reads of the host. A read of a device that stands on others
// is one of theirs too, and takes as long as the upper one says: of the lower
// ones only what nothing above them asked for is added.
func disks(p *analysis.Pass) reading {
	own := make(map[string]*reading)
	for id := range p.Entities(catalog.DiskReads) {
		r := &reading{}
		r.reads, _ = p.Rate(catalog.DiskReads, id)
		r.bytes, _ = p.Rate(catalog.DiskRead, id)
		if took, _ := p.Rate(catalog.DiskReadTime, id); r.reads > 0 {
			r.latency = took / r.reads
		}
		own[p.Index.Entity(id).ID] = r
	}
	for id := range p.Entities(catalog.DiskReads) {
		reads, _ := p.Rate(catalog.DiskReads, id)
		bytes, _ := p.Rate(catalog.DiskRead, id)
		below := strings.Split(p.Attr(id, catalog.AttrOn), ",")
		for _, name := range below {
			if lower := own[name]; lower != nil {
				lower.reads = max(0, lower.reads-reads/float64(len(below)))
				lower.bytes = max(0, lower.bytes-bytes/float64(len(below)))
			}
		}
	}
	return total(own)
}

func total(own map[string]*reading) reading {
	var all reading
	took := 0.0
	for _, r := range own {
		all.reads += r.reads
		all.bytes += r.bytes
		took += r.reads * r.latency
	}
	if all.reads > 0 {
		all.latency = took / all.reads
	}
	return all
}

// pages is how many pages one read brings: with read-ahead, dozens.
func (r reading) pages() float64 { return max(1, r.bytes/r.reads/pageBytes) }
