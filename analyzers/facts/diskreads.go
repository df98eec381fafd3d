// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
)

// DiskReads is what disks did for reads, per second.
type DiskReads struct {
	Reads, Bytes float64
	Latency      float64 // seconds, of one read
	// Mixed says that several disks took a part of the reads to speak of:
	// Latency and Pages are their mean, and whose they were is not known.
	Mixed bool
}

// DiskReads adds up the reads of the host. A read of a device that stands on
// others is one of theirs too, and takes as long as the upper one says: of the
// lower ones only what nothing above them asked for is added.
func (p *Pass) DiskReads() DiskReads {
	own := make(map[string]*DiskReads)
	for id := range p.Entities(catalog.DiskReads) {
		r := &DiskReads{}
		r.Reads, _ = p.Rate(catalog.DiskReads, id)
		r.Bytes, _ = p.Rate(catalog.DiskRead, id)
		if took, _ := p.Rate(catalog.DiskReadTime, id); r.Reads > 0 {
			r.Latency = took / r.Reads
		}
		own[p.Index.Entity(id).ID] = r
	}
	for id := range p.Entities(catalog.DiskReads) {
		reads, _ := p.Rate(catalog.DiskReads, id)
		bytes, _ := p.Rate(catalog.DiskRead, id)
		below := strings.Split(p.Attr(id, catalog.AttrOn), ",")
		for _, name := range below {
			if lower := own[name]; lower != nil {
				lower.Reads = max(0, lower.Reads-reads/float64(len(below)))
				lower.Bytes = max(0, lower.Bytes-bytes/float64(len(below)))
			}
		}
	}
	return totalReads(own)
}

func totalReads(own map[string]*DiskReads) DiskReads {
	var all DiskReads
	took := 0.0
	for _, r := range own {
		all.Reads += r.Reads
		all.Bytes += r.Bytes
		took += r.Reads * r.Latency
	}
	if all.Reads > 0 {
		all.Latency = took / all.Reads
	}
	const part = 0.1
	parts := 0
	for _, r := range own {
		if r.Reads > 0 && max(r.Reads/all.Reads, r.Bytes/max(1, all.Bytes)) >= part {
			parts++
		}
	}
	all.Mixed = parts > 1
	return all
}

// PageBytes is the smallest page of any machine: what is counted in pages is
// at least so many bytes.
const PageBytes = 4096

// Pages is how many pages one read brings: with read-ahead, dozens.
func (d DiskReads) Pages() float64 {
	if d.Reads <= 0 {
		return 1
	}
	return max(1, d.Bytes/d.Reads/PageBytes)
}

// PerPage is what a page costs that is read, in seconds: those that a read
// brings share what it takes.
func (d DiskReads) PerPage() float64 { return d.Latency / d.Pages() }
