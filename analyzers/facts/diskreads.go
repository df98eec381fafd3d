// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
)

// DiskReads holds the read rates of disks, per second.
type DiskReads struct {
	Reads, Bytes float64
	Latency      float64 // seconds, of one read
	// Mixed is set if several disks had a significant part of the reads: Latency and
	// Pages are their mean, and the disk of a single read is not known.
	Mixed bool
}

// DiskReads adds up the reads of the host. A read of a device on top of others is
// counted by them as well, and takes the time that the upper device reports: of the
// lower ones only reads that did not come from an upper one are added.
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

// PageBytes is the smallest page size of any machine, so a lower bound for values
// in pages.
const PageBytes = 4096

// Pages returns the number of pages per read: dozens with read-ahead.
func (d DiskReads) Pages() float64 {
	if d.Reads <= 0 {
		return 1
	}
	return max(1, d.Bytes/d.Reads/PageBytes)
}

// PerPage returns the time to read a page, in seconds: the pages of one read share
// its time.
func (d DiskReads) PerPage() float64 { return d.Latency / d.Pages() }
