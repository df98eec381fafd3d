// SPDX-License-Identifier: Apache-2.0

// Package disk samples the requests of each disk of the host and their durations.
// It reports whole disks only: the requests of a partition are included in its
// disk.
//
// Devices on top of other disks (device mapper, md, loop) are reported too, since
// such a device can be slow on a fast disk. The same bytes are then counted for
// both, so the upper device names the lower ones (catalog.AttrOn): leave out
// devices with this attribute in sums.
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
	// maxFile is the maximum size read of diskstats: a line has 120 bytes, and on a
	// host with a thousand disks few of them have ten partitions.
	maxFile = 512 << 10
	// maxDisks is the maximum number of devices reported: storage servers have
	// hundreds, each possibly behind a multipath device.
	maxDisks = 1024
	// lookAgain is the time after which a name is looked up in /sys/block again: disks
	// are added and removed, and stacks of them rebuilt, by hand.
	lookAgain = time.Minute
)

type reader struct {
	proc  string
	sys   string
	index *observe.Index
	node  observe.ID
	file  *os.File
	buf   []byte
	disks map[string]*disk // by kernel name, nil for partitions
	// full is the number of disks over maxDisks in this reading.
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
	// /sys/block distinguishes disks from partitions.
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
	// Unused loop, ram and zram devices exist by the dozen.
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

// set writes the values of the kernel. Its milliseconds have 32 bits and wrap after
// 49 days of request time (block/genhd.c); the step in which they wrap is dropped,
// as for every counter that decreases.
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
