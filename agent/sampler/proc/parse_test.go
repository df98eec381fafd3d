// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"math"
	"strings"
	"testing"
)

const after = " 4100 4242 4242 0 -1 4194560 5021 0 12 0 341 58 0 0 20 0 11 0 8123456 1034518528 14212 18446744073709551615 1 1 0 0 0\n"

func TestParseStat(t *testing.T) {
	want := stat{state: 'S', cpu: 399, threads: 11, start: 8123456, rss: 14212, faults: 12}
	for _, comm := range []string{"node", "a b", ") (", "a) S 1 (b", "x\ny", "\xff\xfe", "", "((((", "))))"} {
		got, err := parseStat([]byte("4242 (" + comm + ") S" + after))
		if err != nil || got != want {
			t.Errorf("stat of %q = %+v %v, want %+v", comm, got, err, want)
		}
	}
	kernel, err := parseStat([]byte("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 3 0 0 20 0 1 0 4 0 0 18446744073709551615 0\n"))
	if err != nil || !kernel.kernel {
		t.Errorf("kthreadd = %+v %v, want a kernel thread", kernel, err)
	}
	huge, err := parseStat([]byte("1 (a) R 1 1 1 0 -1 0 0 0 0 0 18446744073709551615 9 0 0 20 0 99999999999999999999 0 1 2 3 4\n"))
	if err != nil || huge.cpu != math.MaxUint64 || huge.threads != math.MaxInt32 {
		t.Errorf("stat with huge numbers = %+v %v", huge, err)
	}
}

func TestParseTruncated(t *testing.T) {
	line := "4242 (node) S" + after
	// Cut anywhere before the last field that is needed ends.
	for n := range strings.Index(line, " 18446744073709551615") {
		if s, err := parseStat([]byte(line[:n])); err == nil {
			t.Errorf("the first %d bytes gave %+v", n, s)
		}
	}
	sched := "120948173 3380125 412\n"
	for n := range len(sched) {
		if u, err := parseSchedstat([]byte(sched[:n])); err == nil {
			t.Errorf("the first %d bytes gave %+v", n, u)
		}
	}
	if u, err := parseSchedstat([]byte(sched)); err != nil || u != (usage{120948173, 3380125, 412}) {
		t.Errorf("schedstat = %+v %v", u, err)
	}
}

func TestParseAffinity(t *testing.T) {
	for text, want := range map[string]int{
		"Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n":  2,
		"Name:\tx\nCpus_allowed:\tffffffff,00000003\nMems:\t1\n": 34,
		"Name:\tCpus_allowed:\tff\nCpus_allowed:\t1\nx":          1,
		"Name:\tx\nCpus_allowed:\tff":                            0, // cut short
		"Name:\tx\n":                                             0,
		"Name:\tx\nCpus_allowed:\t0\n":                           0,
		"":                                                       0,
	} {
		if got, ok := parseAffinity([]byte(text)); got != want || ok != (want > 0) {
			t.Errorf("CPUs allowed by %q = %d %v, want %d", text, got, ok, want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("4242 (node) S" + after))
	f.Add([]byte("1 () ) ("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStat(b); err == nil && s.threads < 0 {
			t.Errorf("%q gave %+v", b, s)
		}
	})
}

func FuzzParseRest(f *testing.F) {
	f.Add([]byte("120948173 3380125 412\n"))
	f.Add([]byte("Name:\tx\nCpus_allowed:\tffffffff,00000003\nMems:\t1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseSchedstat(b) //nolint:errcheck // must not panic
		_, _, _ = parseStatm(b)  //nolint:errcheck // must not panic
		if n, ok := parseAffinity(b); ok && n <= 0 {
			t.Errorf("%q allows %d CPUs", b, n)
		}
	})
}

// TestRecordedTree reads a /proc of files.
func TestRecordedTree(t *testing.T) {
	h := host("testdata/proc", nil)
	r := opened(t, h)
	s := read(t, r)
	if len(r.procs) != 2 {
		t.Errorf("%d processes are remembered, want 2: one is cut short", len(r.procs))
	}
	find(t, r, 4242)
	find(t, r, 77)
	if len(s.Gaps) != 1 {
		t.Errorf("gaps = %v, want the one about eBPF", s.Gaps)
	}
}
