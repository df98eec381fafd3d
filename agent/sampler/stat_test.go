// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

const after = " 4100 4242 4242 0 -1 4194560 5021 0 12 0 341 58 0 0 20 0 11 0 8123456 1034518528 14212 18446744073709551615 1 1 0 0 0\n"

func TestParseStat(t *testing.T) {
	want := Stat{State: 'S', Parent: 4100, Flags: 4194560, CPU: 399, Threads: 11, Start: 8123456, Resident: 14212, MajorFaults: 12}
	for _, name := range []string{"node", "a b", ") (", "a) S 1 (b", "x\ny", "\xff\xfe", "", "((((", "))))"} {
		got, comm, err := ParseStat([]byte("4242 (" + name + ") S" + after))
		if err != nil || got != want || string(comm) != name {
			t.Errorf("stat of %q = %+v, %q, %v, want %+v", name, got, comm, err, want)
		}
	}
	kernel, _, err := ParseStat([]byte("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 3 0 0 20 0 1 0 4 0 0 18446744073709551615 0\n"))
	if err != nil || !kernel.Kernel() {
		t.Errorf("kthreadd = %+v, %v, want a kernel thread", kernel, err)
	}
	huge, _, err := ParseStat([]byte("1 (a) R 1 1 1 0 -1 0 0 0 0 0 18446744073709551615 9 0 0 20 0 99999999999999999999 0 1 2 3 4\n"))
	if err != nil || huge.CPU != math.MaxUint64 || huge.Threads != math.MaxInt32 {
		t.Errorf("stat with huge numbers = %+v, %v, want the largest numbers", huge, err)
	}
}

func TestParseStatTruncated(t *testing.T) {
	line := "4242 (node) S" + after
	// Truncate before the end of the last field that is needed.
	for n := range strings.Index(line, " 18446744073709551615") {
		if s, _, err := ParseStat([]byte(line[:n])); err == nil {
			t.Errorf("stat of the first %d bytes = %+v, want an error", n, s)
		}
	}
}

// TestParseStatAgrees compares the values of a live process with those of procfs.
func TestParseStatAgrees(t *testing.T) {
	b, err := os.ReadFile("/proc/1/stat")
	if err != nil {
		t.Fatal(err)
	}
	got, comm, err := ParseStat(b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := procfs.NewProc(1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if string(comm) != want.Comm || got.Parent != want.PPID || got.Flags != uint64(want.Flags) || got.Start != want.Starttime {
		t.Errorf("stat of pid 1 = %+v, %q, want as procfs reads it: %+v", got, comm, want)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("4242 (node) S" + after))
	f.Add([]byte("1 () ) ("))
	f.Add([]byte("1 (a) (b\n) R 0 18446744073709551615 "))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, _, err := ParseStat(b); err == nil && (s.Threads < 0 || s.Parent < 0) {
			t.Errorf("%q gave %+v", b, s)
		}
	})
}

// BenchmarkParseStat compares the parser with procfs. Both read the file.
func BenchmarkParseStat(b *testing.B) {
	b.Run("sampler", func(b *testing.B) {
		f, err := os.Open("/proc/self/stat")
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		b.ReportAllocs()
		var buf [8192]byte
		for b.Loop() {
			n, err := f.ReadAt(buf[:], 0)
			if n == 0 {
				b.Fatal(err)
			}
			if _, _, err := ParseStat(buf[:n]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("procfs", func(b *testing.B) {
		p, err := procfs.Self()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Stat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
