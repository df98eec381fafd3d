// SPDX-License-Identifier: Apache-2.0

package proc

import "testing"

func TestParseTruncated(t *testing.T) {
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
		"Name:\tx\nCpus_allowed:\tff":                            0, // truncated
		"Name:\tx\n":                                             0,
		"Name:\tx\nCpus_allowed:\t0\n":                           0,
		"":                                                       0,
	} {
		if got, ok := parseAffinity([]byte(text)); got != want || ok != (want > 0) {
			t.Errorf("CPUs allowed by %q = %d %v, want %d", text, got, ok, want)
		}
	}
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

// TestRecordedTree reads a recorded /proc.
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
