// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Scenarios of memory limits filled by the page cache: with files that are read
// once, so that evictions do no harm, and with files that are read again.

const memoryPressure = "memory-limit-pressure"

// limitFilled keeps two cgroups at their limit all the time. One reads a file at the
// rate of a stream. The other reads a sparse file, which needs no disk, as fast as
// memory can be reclaimed.
func limitFilled(t *testing.T, l *lab) {
	const limit, size = 64 * mib, 640 * mib
	if cgroups.V2() {
		t.Skip("needs the hierarchies of cgroup v1 to make its groups in")
	}
	dir := filepath.Join(l.dir, l.scenario)
	outside.Must(t, os.MkdirAll(dir, 0o755))
	stream, hole := filepath.Join(dir, "stream"), filepath.Join(dir, "hole")
	writeUncached(t, stream, size)
	outside.Must(t, os.WriteFile(hole, nil, 0o644))
	outside.Must(t, os.Truncate(hole, 1<<40))
	const paced = `i=0; while dd if="$1" of=/dev/null bs=1M count=4 skip=$i status=none; do i=$((i+4)); sleep 0.1; done`
	groups := map[string][]string{
		"stream": {"sh", "-c", paced, "sh", stream},
		"hole":   {"dd", "if=" + hole, "of=/dev/null", "bs=1M", "status=none"},
	}
	for name, command := range groups {
		d := &slowDisk{group: newGroup(t, "headroom-lab-"+l.scenario+"-"+name, cgroups.MemoryLimit(limit), diskControllers...)}
		start(t, d.group.Command(command...))
		outside.Eventually(t, startLimit, "a group at its limit", func() bool { return d.hits(t) > 0 })
		defer d.fills(t, d.hits(t))
	}
	l.observe(t).nothingElse(t)
}

// hits returns how often the limit of the cgroup itself was reached.
func (d *slowDisk) hits(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.group.Dir(cgroups.Memory), "memory.failcnt"))
	outside.Must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	outside.Must(t, err)
	return n
}

// refaults returns how many pages were read again, in the cgroup and below it.
func (d *slowDisk) refaults(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.group.Dir(cgroups.Memory), "memory.stat"))
	outside.Must(t, err)
	_, rest, _ := strings.Cut(string(text), "\ntotal_workingset_refault_file ")
	n, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]))
	return n
}

// fills checks that the limit was reached many times since before.
func (d *slowDisk) fills(t *testing.T, before int) {
	t.Helper()
	if n := d.hits(t) - before; n < 100 {
		t.Errorf("the scenario does not hold: %s was at its limit %d times", d.group.Path, n)
	}
}

// writeUncached writes a file and drops it from the page cache.
func writeUncached(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	outside.Must(t, err)
	defer f.Close()
	chunk := bytes.Repeat([]byte("headroom"), mib/8)
	for range size / mib {
		_, err := f.Write(chunk)
		outside.Must(t, err)
	}
	tool(t, "dd", "of="+path, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none")
}

// limitTight runs a service that reads evicted pages again: 96 MiB under a limit of
// 64 MiB on the parent cgroup.
func limitTight(t *testing.T, l *lab) {
	const limit, size = 64 * mib, 96 * mib
	python := need(t, "python3")
	d := l.newSlowDisk(t, 128, rates{readIOPS: 4000})
	file := filepath.Join(d.dir, "file")
	writeUncached(t, file, size)
	d.forget(t)
	outside.Must(t, d.group.Update(cgroups.MemoryLimit(limit)))
	image := filepath.Join(filepath.Dir(d.dir), "image")
	inner := newGroup(t, d.group.Path+"/service", rates{readIOPS: 4000}.of(t, image), diskControllers...)
	start(t, inner.Command(python, programs+"/reread.py", file))
	outside.Eventually(t, startLimit, "pages that were read again", func() bool { return d.refaults(t) > size/4096/2 })
	before := d.hits(t)
	r := l.observe(t)
	d.fills(t, before)

	f := r.find(t, memoryPressure, "page-cache", inGroup(d.group.Path))
	f.mentions(t, "cgroup "+d.group.Path)
	f.mentions(t, "64 MiB")
	f.recommends(t, "raise-memory-limit").quantity(t, 1.2*limit, 2.3*limit)
	r.nothingElse(t, about(memoryPressure, inGroup(d.group.Path)), func(f *finding) bool { return f.SymptomOf != nil && f.SymptomOf.ID == memoryPressure })
}
