// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseSocket(t *testing.T) {
	for _, c := range []struct {
		line, label string
		want        socket
	}{
		{"1: 0100007F:B3C4 0100007F:1F90 01 0:0 0:0 0 0 0 18446744073709551615 1", "127.0.0.1 to 127.0.0.1:8080", socket{local: 46020, state: 1, inode: 1<<64 - 1}},
		{"1: 0000000000000000FFFF00000100007F:B3C4 0000000000000000FFFF00000100007F:1F90 06 0:0 0:0 0 0 0 0 3", "127.0.0.1 to 127.0.0.1:8080", socket{local: 46020, state: 6}},
		{"1: B80D0120000000000000000001000000:B3C4 B80D0120000000000000000002000000:01BB 01 0:0 0:0 0 0 0 5 1", "2001:db8::1 to [2001:db8::2]:443", socket{local: 46020, state: 1, inode: 5}},
	} {
		got, err := parseSocket([]byte(c.line))
		if err != nil || got.label() != c.label || got.local != c.want.local || got.state != c.want.state || got.inode != c.want.inode {
			t.Errorf("%s\n= %s %+v, %v, want %s %+v", c.line, got.label(), got, err, c.label, c.want)
		}
	}
	for _, odd := range []string{
		"", "1: 0100007F:B3C4 0100007F:1F90 01", "1: 0100007F 0100007F:1F90 01 0:0 0:0 0 0 0 5", "1: 0100007F:B3C4 X:1F90 01 0:0 0:0 0 0 0 5",
		"1: 01:B3C4 0100007F:1F90 01 0:0 0:0 0 0 0 5", "1: 0100007F:B3C4 0100007F:1F90 100 0:0 0:0 0 0 0 5",
		"1: 0100007F:B3C4 0100007F:1F90 01 0:0 0:0 0 0 0 18446744073709551616", "1: " + strings.Repeat("0", 34) + ":1 0100007F:1F90 01 0:0 0:0 0 0 0 5",
	} {
		if got, err := parseSocket([]byte(odd)); err == nil {
			t.Errorf("%q = %+v, want an error", odd, got)
		}
	}
}

// TestWhosePorts checks that accepted connections and ports that a program chose itself
// do not count as used ports of the range.
func TestWhosePorts(t *testing.T) {
	tab := newTable()
	tab.reset(setting{low: 32768, high: 60999})
	to := tuple{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), 80}
	for _, s := range []socket{
		{local: 40000, state: stateListen},
		{tuple: to, local: 40000, state: 1, inode: 9}, {tuple: to, local: 1024, state: 1, inode: 9},
		{tuple: to, local: 61000, state: 1, inode: 9}, {tuple: to, local: 50000, state: stateClose},
		{tuple: to, local: 32768, state: 1, inode: 9}, {tuple: to, local: 60999, state: 2, inode: 10},
		{tuple: to, local: 50001, state: stateTimeWait}, {tuple: to, local: 50002, state: stateFinWait2}, {tuple: to, local: 50003, state: stateFinWait2, inode: 7},
	} {
		tab.add(s)
	}
	if got := tab.largest(1, 9); len(got) != 1 || got[0].live != 3 || got[0].timeWait != 2 {
		t.Errorf("tallies = %+v, want 3 live and 2 in TIME_WAIT", got)
	}
}

// TestLargestSurvivesManySmall checks that one tuple is counted among 100,000 others.
func TestLargestSurvivesManySmall(t *testing.T) {
	tab := newTable()
	tab.reset(kernelSetting)
	tab.deadline = time.Now().Add(time.Hour)
	const small, large = 100_000, 2900
	to := tuple{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), 80}
	for i := range small {
		tab.add(socket{tuple: tuple{to.source, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 443}, local: 40000, state: 1, inode: 1})
		if i%(small/large) == 0 {
			tab.add(socket{tuple: to, local: 40000, state: stateTimeWait})
		}
	}
	got := tab.largest(2800, 9)
	if len(got) != 1 || got[0].tuple != to || len(tab.tallies) > maxTuples || len(tab.live) > maxLive {
		t.Errorf("largest = %+v of %d, want the one", got, len(tab.tallies))
	}
}

func TestALookThatTakesTooLongIsCut(t *testing.T) {
	tab := newTable()
	tab.reset(kernelSetting)
	tab.deadline = time.Now().Add(-time.Second)
	for i := range checkEvery {
		if more := tab.add(socket{local: 40000, state: 1}); more != (i < checkEvery-1) {
			t.Fatalf("after %d sockets: more = %v", i, more)
		}
	}
	if !tab.cut {
		t.Error("not marked as cut")
	}
}

func TestSockstat(t *testing.T) {
	for text, want := range map[string]int{
		"sockets: used 15\nTCP: inuse 210 orphan 0 tw 28104 alloc 214 mem 171\nUDP: inuse 5\n": 28314,
		"TCP6: inuse 12\nUDP6: inuse 1\n":                         12,
		"TCP: inuse 9223372036854775808 tw 3\n":                   3,
		"TCP: inuse 9223372036854775807 tw 9223372036854775807\n": maxSockets,
		"TCP: inuse -1 tw x\n":                                    0,
		"TCP: inuse":                                              0,
	} {
		if got := parseSockstat([]byte(text)); got != want {
			t.Errorf("%q = %d, want %d", text, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	s, ok := parseRange([]byte("32768\t60999\n"))
	if !ok || s.ports() != 28232 {
		t.Errorf("range = %+v %v, want 28232 ports", s, ok)
	}
	for _, odd := range []string{"", "1\n", "60999 32768", "1 65536", "a b", "1 2 3"} {
		if _, ok := parseRange([]byte(odd)); ok {
			t.Errorf("%q is taken for a range", odd)
		}
	}
	for text, want := range map[string]int{"\n": 0, "8080,40000-40009,60999-65535\n": 11, "x,40000,-,5-": 1, "50000-40000": 0} {
		if got := countReserved([]byte(text), s); got != want {
			t.Errorf("reserved %q = %d, want %d", text, got, want)
		}
	}
	loopback, wire := tuple{source: netip.MustParseAddr("127.0.0.1")}, tuple{source: netip.MustParseAddr("10.0.0.1")}
	for _, c := range []struct {
		reuse          int
		loopback, wire bool
	}{{0, false, false}, {1, true, true}, {2, true, false}} {
		s := setting{reuse: c.reuse}
		if s.reuses(loopback) != c.loopback || s.reuses(wire) != c.wire {
			t.Errorf("tcp_tw_reuse %d: loopback %v, else %v", c.reuse, s.reuses(loopback), s.reuses(wire))
		}
	}
}

// TestWithin enters its own namespace, on its own thread.
func TestWithin(t *testing.T) {
	tid := 0
	err := within("/proc/self/ns/net", func() { tid = unix.Gettid() })
	if err != nil {
		if os.Geteuid() != 0 {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	if tid == 0 || tid == os.Getpid() {
		t.Errorf("it ran on thread %d of process %d", tid, os.Getpid())
	}
	if err := within("/nowhere", func() { t.Error("ran nowhere") }); err == nil {
		t.Error("no error from nowhere")
	}
}

func FuzzTable(f *testing.F) {
	f.Add("h\n 1: 0100007F:B3C4 0100007F:1F90 01 0:0 0:0 0 0 0 5 1\n", []byte("TCP: inuse 1 tw 2\n"), []byte("32768 60999"), []byte("8080,9000-9010"), make([]byte, messageSize))
	f.Fuzz(func(t *testing.T, table string, stat, ports, reserved, diag []byte) {
		tab := newTable()
		tab.reset(kernelSetting)
		_ = tab.parse(strings.NewReader(table)) //nolint:errcheck // must not panic
		if n := parseSockstat(stat); n < 0 || n > maxSockets {
			t.Errorf("%q has %d sockets", stat, n)
		}
		if s, ok := parseRange(ports); ok {
			countReserved(reserved, s)
		}
		if s, ok := parseDiag(diag); ok {
			_ = s.label()
			tab.add(s)
		}
	})
}
