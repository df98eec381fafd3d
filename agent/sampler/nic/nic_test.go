// SPDX-License-Identifier: Apache-2.0

package nic

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// ownNamespace gives the test an empty network namespace. The test's thread stays
// locked and ends with the test.
func ownNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("a network namespace of its own takes root: %v", err)
	}
}

// addPair adds a pair of veth interfaces.
func addPair(t *testing.T, a, b string) netlink.Link {
	t.Helper()
	outside.Must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b}))
	l, err := netlink.LinkByName(a)
	outside.Must(t, err)
	outside.Must(t, netlink.LinkSetUp(l))
	return l
}

func read(t *testing.T, sys string) *observe.Snapshot {
	t.Helper()
	x := observe.NewIndex(100)
	r, err := Sampler.Open(&sampler.Host{Sys: sys, Index: x})
	outside.Must(t, err)
	t.Cleanup(func() { r.Close() })
	s := observe.NewSnapshot(x)
	outside.Must(t, r.Read(s))
	return s
}

func value(t *testing.T, s *observe.Snapshot, m *observe.Metric, name string) (float64, bool) {
	t.Helper()
	id, ok := s.Index.Find(observe.Entity{Kind: observe.NIC, ID: name})
	if !ok {
		t.Fatalf("no interface %s", name)
	}
	return s.Value(m, id)
}

const megabits = 1e6 / 8

// TestShapers checks veth interfaces that are shaped by tbf and htb.
func TestShapers(t *testing.T) {
	ownNamespace(t)
	a, b, c := addPair(t, "a", "a1"), addPair(t, "b", "b1"), addPair(t, "c", "c1")
	root := func(l netlink.Link) netlink.QdiscAttrs {
		return netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}
	}
	class := func(l netlink.Link, minor uint16, rate uint64) {
		attrs := netlink.ClassAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.MakeHandle(1, 0), Handle: netlink.MakeHandle(1, minor)}
		outside.Must(t, netlink.ClassAdd(netlink.NewHtbClass(attrs, netlink.HtbClassAttrs{Rate: rate / 2, Ceil: rate})))
	}
	outside.Must(t, netlink.QdiscAdd(&netlink.Tbf{QdiscAttrs: root(a), Rate: 50 * megabits, Limit: 100_000, Buffer: 100_000}))
	outside.Must(t, netlink.QdiscAdd(netlink.NewHtb(root(b))))
	class(b, 1, 200e6)
	outside.Must(t, netlink.QdiscAdd(netlink.NewHtb(root(c))))
	class(c, 1, 200e6)
	class(c, 2, 200e6)

	s := read(t, "/sys")
	if got, _ := value(t, s, catalog.NICShapedTo, "a"); got != 50*megabits {
		t.Errorf("tbf: rate = %v B/s, want %v", got, 50*megabits)
	}
	if got, _ := value(t, s, catalog.NICShapedTo, "b"); got != 200*megabits {
		t.Errorf("htb: rate = %v B/s, want %v: the ceiling of its class", got, 200*megabits)
	}
	for _, name := range []string{"c", "c1"} {
		if got, ok := value(t, s, catalog.NICShapedTo, name); ok {
			t.Errorf("%s: rate = %v, want none", name, got)
		}
	}
	for _, m := range []*observe.Metric{catalog.NICQueueDropped, catalog.NICQueueOverlimits, catalog.NICQueueBacklog, catalog.NICSent, catalog.NICDroppedOut} {
		if _, ok := value(t, s, m, "a"); !ok {
			t.Errorf("no %s of a", m.Key())
		}
	}
	id, _ := s.Index.Find(observe.Entity{Kind: observe.NIC, ID: "a"})
	if s.Index.Attr(id, catalog.AttrVirtual) != "true" {
		t.Error("a veth is not marked as virtual")
	}
	if got, ok := value(t, s, catalog.NICSpeed, "a"); ok {
		t.Errorf("speed of a veth = %v, want none", got)
	}
	if _, ok := s.Index.Find(observe.Entity{Kind: observe.NIC, ID: "lo"}); ok {
		t.Error("the loopback is an interface")
	}
}

func TestComingAndGoing(t *testing.T) {
	ownNamespace(t)
	a := addPair(t, "a", "a1")
	x := observe.NewIndex(100)
	r, err := Sampler.Open(&sampler.Host{Sys: "/sys", Index: x})
	outside.Must(t, err)
	defer r.Close()
	s := observe.NewSnapshot(x)
	outside.Must(t, r.Read(s))
	outside.Must(t, netlink.LinkDel(a))
	s.Reset()
	outside.Must(t, r.Read(s))
	if len(s.Ended) != 2 {
		t.Errorf("ended = %v, want both ends", s.Ended)
	}
}

// card creates an entry of /sys/class/net.
func card(t *testing.T, sys, name, index, address, speed string) {
	t.Helper()
	dir := filepath.Join(sys, "class/net", name)
	outside.Must(t, os.MkdirAll(filepath.Join(dir, "device"), 0o700))
	for file, text := range map[string]string{"ifindex": index, "address": address, "speed": speed} {
		outside.Must(t, os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600))
	}
}

// TestSpeedIsOfTheSameInterface checks that the speed of an eth0 in the /sys of another
// namespace is not used for this namespace's eth0.
func TestSpeedIsOfTheSameInterface(t *testing.T) {
	sys := t.TempDir()
	card(t, sys, "eth0", "2", "02:00:00:00:00:0a", "1000")
	r := &reader{sys: sys}
	for _, c := range []struct {
		index   int32
		address byte
		kind    string
		want    float64
	}{{2, 0x0a, "", 1000 * megabits}, {3, 0x0a, "", 0}, {2, 0x0b, "", 0}, {2, 0x0a, "veth", 0}} {
		m := &linkMessage{index: c.index, name: []byte("eth0"), address: []byte{2, 0, 0, 0, 0, c.address}, kind: []byte(c.kind)}
		if got, _ := r.hardware(m); got != c.want {
			t.Errorf("%+v: speed = %v B/s, want %v", c, got, c.want)
		}
	}
	for text, want := range map[string]float64{"1000": 125e6, "-1": 0, "4294967295": 0, "": 0, "0": 0, "x": 0, "9223372036854775808": 0} {
		if got := parseSpeed(text); got != want {
			t.Errorf("speed %q = %v, want %v", text, got, want)
		}
	}
}

func TestThisHost(t *testing.T) {
	if s := read(t, "/sys"); len(s.Gaps) > 0 {
		t.Errorf("gaps = %v", s.Gaps)
	}
}

// TestCounters checks numbers that do not fit into a signed integer.
func TestCounters(t *testing.T) {
	b := make([]byte, 8*16)
	for i := range 16 {
		binary.NativeEndian.PutUint64(b[8*i:], math.MaxUint64-uint64(i))
	}
	c, ok := parseCounters(b)
	if !ok || c.droppedOut != math.MaxUint64-7 || c.missedIn != math.MaxUint64-15 {
		t.Errorf("counters = %+v %v", c, ok)
	}
	if _, ok := parseCounters(b[:100]); ok {
		t.Error("truncated counters are taken")
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add([]byte("\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x08\x00\x01\x00tbf\x00\x10\x00\x02\x80\x0c\x00\x01\x00AAAAAAAA"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if m, ok := parseLink(b); ok {
			colons(m.address)
		}
		parseQdisc(b)
		parseClass(b)
		parseSpeed(strconv.Itoa(len(b)))
	})
}
