// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// people is an Identity that knows every process by its pid.
type people struct {
	sampler.Identity
	index  *observe.Index
	cgroup map[int]string
}

func (p people) Current(pid int) (observe.ID, bool) {
	id := p.index.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid) + ":1"})
	info := observe.Info{Attrs: map[string]string{catalog.AttrPID: strconv.Itoa(pid)}}
	if path := p.cgroup[pid]; path != "" {
		info.Parent = p.index.Entity(p.Cgroup(path))
	}
	p.index.Describe(id, info)
	return id, true
}

func (p people) Cgroup(path string) observe.ID {
	id := p.index.ID(observe.Entity{Kind: observe.Cgroup, ID: path})
	if up := filepath.Dir(path); up != path {
		p.index.Describe(id, observe.Info{Parent: p.index.Entity(p.Cgroup(up))})
	}
	return id
}

func (p people) Process(pid int, _ uint64) (observe.ID, bool) { return p.Current(pid) }
func (people) Thread(process observe.ID, _ int) observe.ID    { return process }
func (people) Ended(observe.ID)                               {}
func (p people) in(cgroup string, pids ...int) { // used by tests
	for _, pid := range pids {
		p.cgroup[pid] = cgroup
	}
}

// A tree is a /proc that the test creates.
type tree struct {
	t    *testing.T
	dir  string
	host *sampler.Host
	people
}

func newTree(t *testing.T) *tree {
	x := observe.NewIndex(1000)
	p := people{index: x, cgroup: make(map[int]string)}
	dir := t.TempDir()
	return &tree{t, dir, &sampler.Host{Proc: dir, Index: x, Identity: p}, p}
}

func (f *tree) write(path, text string) {
	f.t.Helper()
	path = filepath.Join(f.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *tree) link(path, to string) {
	f.t.Helper()
	path = filepath.Join(f.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	_ = os.Remove(path) //nolint:errcheck // the first time the file does not exist
	if err := os.Symlink(to, path); err != nil {
		f.t.Fatal(err)
	}
}

// process adds a process in a network namespace, with a table of sockets.
func (f *tree) process(pid, namespace, inuse, tw int, table string) {
	at := strconv.Itoa(pid)
	f.link(at+"/ns/net", fmt.Sprintf("net:[%d]", namespace))
	f.write(at+"/net/sockstat", fmt.Sprintf("sockets: used 9\nTCP: inuse %d orphan 0 tw %d alloc 9 mem 1\n", inuse, tw))
	f.write(at+"/net/tcp", "  sl  local_address rem_address   st\n"+table)
}

// rows returns sockets from 10.0.0.2 to 10.0.0.3:5432, with local ports from first on.
func rows(first, n int, state string, inode int) string {
	var b strings.Builder
	for i := range n {
		own := 0
		if inode > 0 {
			own = inode + i
		}
		fmt.Fprintf(&b, "%4d: 0200000A:%04X 0300000A:1538 %s 00000000:00000000 00:00000000 00000000 0 0 %d 1\n", i, first+i, state, own)
	}
	return b.String()
}

func (f *tree) read() *observe.Snapshot {
	f.t.Helper()
	r, err := Sampler.Open(f.host)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	s := observe.NewSnapshot(f.host.Index)
	if err := r.Read(s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

const (
	label    = "10.0.0.2 to 10.0.0.3:5432"
	existing = "01"
	waiting  = "06"
)

// check returns the only upstream, and compares its values.
func (f *tree) check(s *observe.Snapshot, id string, used, timeWait float64) observe.ID {
	f.t.Helper()
	up, ok := f.host.Index.Find(observe.Entity{Kind: observe.Upstream, ID: id})
	if !ok {
		f.t.Fatalf("no upstream %q; gaps %v", id, s.Gaps)
	}
	if got, _ := s.Value(catalog.UpstreamPorts, up); got != used {
		f.t.Errorf("ports = %v, want %v", got, used)
	}
	if got, _ := s.Value(catalog.UpstreamTimeWait, up); got != timeWait {
		f.t.Errorf("in TIME_WAIT = %v, want %v", got, timeWait)
	}
	return up
}

func TestOtherNamespace(t *testing.T) {
	f := newTree(t)
	f.process(7, 99, 1, 3000, rows(40000, 3000, waiting, 0)+rows(33000, 2, existing, 500)+rows(80, 500, existing, 900))
	up := f.check(f.read(), label+" in net:[99]", 3002, 3000)
	if owner, _ := f.host.Index.Parent(up); f.host.Index.Attr(owner, catalog.AttrPID) != "7" {
		t.Errorf("parent = %v, want the only process", f.host.Index.Entity(owner))
	}
	if f.host.Index.Attr(up, catalog.AttrPortsAssumed) == "" {
		t.Error("the range of a namespace that cannot be entered is not marked as assumed")
	}
}

func TestFewConnectionsAreNotLookedAt(t *testing.T) {
	f := newTree(t)
	f.process(7, 99, 1000, 1800, "this is no socket table\n")
	s := f.read()
	if len(s.Metrics()) > 0 || len(s.Gaps) > 0 {
		t.Errorf("metrics = %v, gaps = %v, want none", s.Metrics(), s.Gaps)
	}
}

func TestOwnerByItsDescriptors(t *testing.T) {
	f := newTree(t)
	table := rows(33000, 3000, existing, 100_000)
	for pid := 7; pid < 10; pid++ {
		f.process(pid, 99, 3000, 0, table)
	}
	f.link("8/fd/3", "socket:[100004]")
	f.link("9/fd/3", "socket:[100005]")
	f.link("9/fd/4", "socket:[100006]")
	f.link("9/fd/5", "/a file with a\nname")
	up := f.check(f.read(), label+" in net:[99]", 3000, 0)
	if owner, _ := f.host.Index.Parent(up); f.host.Index.Attr(owner, catalog.AttrPID) != "9" {
		t.Errorf("parent = %v, want pid 9", f.host.Index.Entity(owner))
	}
}

func TestNobodyHoldsThem(t *testing.T) {
	f := newTree(t)
	f.in("/pods/a/app", 7)
	f.in("/pods/a/pause", 8)
	for pid := 7; pid < 9; pid++ {
		f.process(pid, 99, 0, 3000, rows(33000, 3000, waiting, 0))
	}
	up := f.check(f.read(), label+" in net:[99]", 3000, 3000)
	if parent, _ := f.host.Index.Parent(up); f.host.Index.Entity(parent).ID != "/pods/a" {
		t.Errorf("parent = %v, want the pod", f.host.Index.Entity(parent))
	}
}

func TestVanishedProcesses(t *testing.T) {
	f := newTree(t)
	f.process(7, 99, 3000, 0, rows(33000, 3000, existing, 100_000))
	r, err := Sampler.Open(f.host)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := observe.NewSnapshot(f.host.Index)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	up := f.check(s, label+" in net:[99]", 3000, 0)
	if err := os.RemoveAll(filepath.Join(f.dir, "7")); err != nil {
		t.Fatal(err)
	}
	rd := r.(*reader)
	rd.next = time.Time{}
	s.Reset()
	if err := r.Read(s); err != nil || len(s.Metrics()) > 0 || len(s.Gaps) > 0 {
		t.Errorf("of a namespace that vanished: %v, metrics %v, gaps %v", err, s.Metrics(), s.Gaps)
	}
	rd.spaces.next = time.Time{}
	s.Reset()
	if err := r.Read(s); err != nil || len(s.Ended) != 1 || s.Ended[0].ID != up {
		t.Errorf("after the next scan: %v, ended %v, want the upstream", err, s.Ended)
	}
}

func TestOddTableIsAGap(t *testing.T) {
	f := newTree(t)
	f.process(7, 99, 3000, 0, "  0: 0200000A:ZZZZ 0300000A:1538 01 0 0 0 0 0 0\n")
	if s := f.read(); len(s.Gaps) != 1 {
		t.Errorf("gaps = %v, want one", s.Gaps)
	}
}

func TestMoreNamespacesThanFollowed(t *testing.T) {
	f := newTree(t)
	for i := range maxNamespaces + 1 {
		f.process(100+i, 5000+i, 0, 0, "")
	}
	if s := f.read(); len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0].Reason, "are not counted: the limit of") {
		t.Errorf("gaps = %v", s.Gaps)
	}
}

// TestBothWaysAgree makes connections and checks that inet_diag and /proc count the
// same.
func TestBothWaysAgree(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n = 50
	for range n {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	d, err := newDiag()
	if err != nil {
		t.Skip(err)
	}
	defer d.close()
	set, _ := readSetting("/proc")
	for way, read := range map[string]func(*table) error{
		"inet_diag": d.read,
		"/proc":     func(t *table) error { return (&namespace{pids: []int{os.Getpid()}}).tables("/proc", t) },
	} {
		table := newTable()
		table.reset(set)
		if err := read(table); err != nil {
			t.Errorf("%s: %v", way, err)
			continue
		}
		var mine tuple
		for _, a := range table.largest(n, 1000) {
			if a.label() == "127.0.0.1 to "+l.Addr().String() && a.live == n {
				mine = a.tuple
			}
		}
		if mine == (tuple{}) {
			t.Errorf("%s: no %d connections to %s", way, n, l.Addr())
		}
		held := 0
		inodes := make(map[uint64]bool)
		for _, s := range table.live {
			inodes[s.inode] = inodes[s.inode] || s.tuple == mine
		}
		_, _ = sampler.Sockets("/proc/self/fd", 1000, func(inode uint64) {
			if inodes[inode] {
				held++
			}
		})
		if held != n {
			t.Errorf("%s: %d of the connections are this process's, want %d", way, held, n)
		}
	}
}

func TestThisHost(t *testing.T) {
	x := observe.NewIndex(1000)
	r, err := Sampler.Open(&sampler.Host{Proc: "/proc", Index: x, Identity: people{index: x, cgroup: nil}})
	if errors.Is(err, sampler.ErrNotSupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Read(observe.NewSnapshot(x)); err != nil {
		t.Fatal(err)
	}
}
