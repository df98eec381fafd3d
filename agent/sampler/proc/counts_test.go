// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// TestAnonymousMemory maps memory and checks that the value grows by its size, and that
// shared memory does not count.
func TestAnonymousMemory(t *testing.T) {
	const size = 64 << 20
	both(t, func(t *testing.T, h *sampler.Host) {
		r := opened(t, h)
		before := soon(t, r, catalog.ProcessAnon)
		for _, flags := range []int{unix.MAP_PRIVATE, unix.MAP_SHARED} {
			b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANON|unix.MAP_POPULATE)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(b) //nolint:errcheck // the test is over
		}
		after := soon(t, r, catalog.ProcessAnon)
		if got := after - before; got < 0.95*size || got > 1.2*size {
			t.Errorf("anonymous memory grew by %v bytes, want about %d", got, size)
		}
		if all := soon(t, r, catalog.ProcessMemory); all < after+0.95*size {
			t.Errorf("resident = %v bytes, want %d of shared memory above %v", all, size, after)
		}
	})
}

// soon reads until this process has a new value, because a slow source reads processes
// in turns.
func soon(t *testing.T, r *reader, m *observe.Metric) float64 {
	t.Helper()
	var v float64
	seen := false
	for range slowEvery {
		s := read(t, r)
		if now, ok := s.Value(m, find(t, r, os.Getpid())); ok {
			v, seen = now, true
		}
	}
	if !seen {
		t.Fatalf("%s was not read in %d readings", m.Key(), slowEvery)
	}
	return v
}

// TestDiskIO writes a file, which must be on a disk for the kernel to count it.
func TestDiskIO(t *testing.T) {
	const size = 8 << 20
	r := opened(t, host("/proc", withProbe(t)))
	if !r.io {
		t.Skip("the kernel does not count disk I/O")
	}
	before := soon(t, r, catalog.ProcessDiskWritten)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the test is over
	if _, err := f.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	got := soon(t, r, catalog.ProcessDiskWritten) - before
	if got == 0 {
		t.Skip("the kernel counted nothing: the file is on no disk")
	}
	if got < size || got > 2*size {
		t.Errorf("written = %v bytes, want about %d", got, size)
	}
}

func TestMajorFaultsAreKnown(t *testing.T) {
	both(t, func(t *testing.T, h *sampler.Host) {
		r := opened(t, h)
		soon(t, r, catalog.ProcessMajorFaults)
	})
}

// TestCounts checks that the values of threads are summed up, and that unknown values
// are left out.
func TestCounts(t *testing.T) {
	var c counts
	c.add(&tick.Thread{MajorFaults: 2, DiskRead: 10, DiskWait: true, Memory: tick.Pages{File: 1, Anon: 2, Shmem: 3, Swap: 4, Peak: 9}}, true)
	c.add(&tick.Thread{MajorFaults: 1, DiskWritten: 5, DiskWait: true}, true)
	want := counts{resident: 6, anon: 2, swap: 4, peak: 9, anonKnown: true, faults: 3, faultsKnown: true, read: 10, written: 5, waiting: 2, ioKnown: true}
	if c != want {
		t.Errorf("counts = %+v, want %+v", c, want)
	}
	c = counts{}
	c.add(&tick.Thread{DiskRead: 10}, false) // a leader that ended before its threads
	if c.anonKnown || c.ioKnown || !c.faultsKnown {
		t.Errorf("counts = %+v, want neither memory nor disk I/O", c)
	}
}

func TestParseStatm(t *testing.T) {
	resident, shared, err := parseStatm([]byte("252568 14212 11264 10240 0 37004 0\n"))
	if err != nil || resident != 14212 || shared != 11264 {
		t.Errorf("statm = %d, %d, %v; want 14212 and 11264", resident, shared, err)
	}
	if _, _, err := parseStatm([]byte("252568 14212")); err == nil {
		t.Error("a line cut short was read")
	}
}
