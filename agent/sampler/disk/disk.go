// SPDX-License-Identifier: Apache-2.0

// Package disk samples what each disk of the host did and how long its
// requests took. Whole disks only: a partition's requests are its disk's.
//
// Devices that stand on other disks (device mapper, md, loop) are reported too,
// since a slow one of them can stand on a fast disk. The same bytes are then
// in both, so that the upper device names the lower ones (catalog.AttrOn):
// leave out devices that have it when adding up.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "disk"

// Sampler reads /proc/diskstats.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads throughput, request latency and queue length of each disk (/proc/diskstats, /sys/block).",
	Provides: []*observe.Metric{catalog.DiskRead, catalog.DiskWritten, catalog.DiskReads, catalog.DiskWrites, catalog.DiskReadTime,
		catalog.DiskWriteTime, catalog.DiskBusy, catalog.DiskQueueTime, catalog.DiskInFlight, catalog.DiskRotational},
	Open: open,
}

const (
	// maxFile bounds what is read of diskstats: 120 bytes a line, and a host of
	// a thousand disks has ten partitions on few of them.
	maxFile = 512 << 10
	// maxDisks bounds the devices that are followed: storage servers have
	// hundreds, each perhaps behind a multipath device.
	maxDisks = 1024
	// lookAgain is how often /sys/block is asked about a name once more: disks
	// come and go, and a stack of them is rebuilt, by hand.
	lookAgain = time.Minute
)

type reader struct {
	proc  string
	sys   string
	index *observe.Index
	node  observe.ID
	file  *os.File
	buf   []byte
	disks map[string]*disk // by the kernel's name, partitions as nil
	// full counts the disks beyond maxDisks in this reading.
	full     int
	followed int
	nextLook time.Time
}

// A disk is one whole device.
type disk struct {
	id         observe.ID
	rotational float64
	spins      bool // rotational is known
}

func open(h *sampler.Host) (sampler.Reader, error) {
	path := filepath.Join(h.Proc, "diskstats")
	f, err := os.Open(path)
	if err != nil {
		return nil, sampler.Unreadable(path, err, sampler.NotSupported("run on the host, or let the container see its /proc", "no diskstats in %s", h.Proc))
	}
	// It distinguishes disks from partitions.
	if err := sampler.Hidden(filepath.Join(h.Sys, "block")); err != nil {
		_ = f.Close() //nolint:errcheck // read only
		return nil, err
	}
	return &reader{
		proc: h.Proc, sys: h.Sys, index: h.Index, file: f, buf: make([]byte, maxFile),
		node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}),
	}, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	n, err := r.file.ReadAt(r.buf, 0)
	if n == 0 && !errors.Is(err, io.EOF) { // a guest without disks has an empty file
		return fmt.Errorf("read disks: %w", err)
	}
	if now := time.Now(); now.After(r.nextLook) {
		r.disks, r.followed, r.nextLook = make(map[string]*disk), 0, now.Add(lookAgain)
	}
	r.full = 0
	if n == 0 {
		if err := sampler.Hidden(r.file.Name()); err != nil {
			return err
		}
	}
	parse(r.buf[:n], func(st stats) { r.one(s, st) })
	if r.full > 0 {
		s.Gap(name, fmt.Sprintf("%d disks are not observed: the limit of %d was reached", r.full, maxDisks), "")
	}
	return nil
}

func (r *reader) one(s *observe.Snapshot, st stats) {
	// Loop, ram and zram devices exist unused by the dozen.
	if st.reads == 0 && st.writes == 0 {
		return
	}
	d, known := r.disks[string(st.name)]
	if !known {
		d = r.look(string(st.name))
	}
	if d != nil {
		d.set(s, st)
	}
}

// set writes what the kernel said. Its milliseconds are 32 bits wide and wrap
// after 49 days of requests' time (block/genhd.c); a step that they do so in is
// left out, as for every counter that goes backwards.
func (d *disk) set(s *observe.Snapshot, st stats) {
	const sector, millisecond = 512, 1e-3
	for _, v := range [...]struct {
		m *observe.Metric
		v float64
	}{
		{catalog.DiskReads, st.reads}, {catalog.DiskRead, st.readSectors * sector}, {catalog.DiskReadTime, st.readTime * millisecond},
		{catalog.DiskWrites, st.writes}, {catalog.DiskWritten, st.writtenSectors * sector}, {catalog.DiskWriteTime, st.writeTime * millisecond},
		{catalog.DiskInFlight, st.inFlight}, {catalog.DiskBusy, st.busy * millisecond}, {catalog.DiskQueueTime, st.queueTime * millisecond},
	} {
		s.Set(v.m, d.id, v.v)
	}
	if d.spins {
		s.Set(catalog.DiskRotational, d.id, d.rotational)
	}
}

// Close implements sampler.Reader.
func (r *reader) Close() error { return r.file.Close() }
