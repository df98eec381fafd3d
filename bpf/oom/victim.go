// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// A Victim is a process that the OOM killer killed.
type Victim struct {
	Time  uint64 // CLOCK_MONOTONIC, ns
	Pid   uint32
	Start uint64 // ns since boot
	Comm  string
	Anon  uint64 // anonymous memory in bytes, just before the kill
	// Cgroup is its path in the hierarchy of the memory controller, "" if it has
	// too many levels.
	Cgroup string
	// Limited reports whether a cgroup had reached its limit; if not, the host was
	// out of memory. LimitedBy is that cgroup, Limit its limit in bytes.
	Limited   bool
	LimitedBy string
	Limit     uint64
}

// ReadVictims yields the victims since the last call. It does not wait for more.
func (p *Probe) ReadVictims(yield func(*Victim)) error {
	for p.victims.AvailableBytes() > 0 {
		err := p.victims.ReadInto(&p.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading victims: %w", err)
		}
		if uintptr(len(p.record.RawSample)) < unsafe.Sizeof(oomVictim{}) {
			return fmt.Errorf("reading victims: a record of %d bytes", len(p.record.RawSample))
		}
		v := victimOf((*oomVictim)(unsafe.Pointer(&p.record.RawSample[0])))
		yield(&v)
	}
	return nil
}

func victimOf(r *oomVictim) Victim {
	page := uint64(os.Getpagesize())
	v := Victim{Time: r.Time, Pid: r.Pid, Start: r.StartBoottime, Comm: text(r.Comm[:]), Anon: r.Anon * page}
	if int(r.Depth) <= len(r.Names) {
		v.Cgroup = pathOf(r, 0)
	}
	i, ok := full(r)
	if ok {
		v.Limited, v.Limit = true, r.Levels[i].Max*page
		if v.Cgroup != "" {
			v.LimitedBy = pathOf(r, i)
		}
	}
	return v
}

// pathOf returns the path of the cgroup that is level levels above the victim's own.
func pathOf(r *oomVictim, level int) string {
	var b strings.Builder
	for i := int(r.Depth) - 1; i >= level; i-- {
		b.WriteByte('/')
		b.WriteString(text(r.Names[i][:]))
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

const (
	// noLimit is PAGE_COUNTER_MAX on 64 bits or more than any machine has.
	noLimit = 1 << 50
	// batch is how many pages a CPU charges at once (MEMCG_CHARGE_BATCH): a full
	// cgroup can be a few batches below its limit. slack allows for pages that other
	// tasks released in the meantime.
	batch = 64
	slack = 50 // parts of the limit
)

// full returns the level of the nearest cgroup above the victim that reached its limit.
func full(r *oomVictim) (level int, ok bool) {
	for i, l := range r.Levels {
		if l.Max < noLimit && l.Max > 0 && l.Usage+max(8*batch, l.Max/slack) >= l.Max {
			return i, true
		}
	}
	return 0, false
}

// text returns a C string as a Go string.
func text(c []int8) string {
	b := make([]byte, 0, len(c))
	for _, v := range c {
		if v == 0 {
			break
		}
		b = append(b, byte(v))
	}
	return string(b)
}
