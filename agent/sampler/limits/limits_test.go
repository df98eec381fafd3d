// SPDX-License-Identifier: Apache-2.0

package limits

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// role is the environment variable that makes the test program use up a limit.
const role = "HEADROOM_TEST_LIMITS"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "inotify":
		holdInotify()
	case "zombies":
		makeZombies()
	case "maps":
		makeMaps()
	default:
		os.Exit(m.Run())
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) //nolint:errcheck // until the test closes it
}

const (
	uid       = 35001
	instances = 40
	children  = 30
	mappings  = 20_000
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// holdInotify creates instances with two watches each, and a child that inherits them.
func holdInotify() {
	check(syscall.Setuid(uid))
	for range instances {
		fd, err := unix.InotifyInit1(0)
		check(err)
		for _, dir := range []string{"/", "/proc"} {
			_, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE)
			check(err)
		}
	}
	_, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "20"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}})
	check(err)
}

func makeZombies() {
	for range children {
		_, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
		check(err)
	}
}

// makeMaps makes mappings that the kernel cannot merge.
func makeMaps() {
	for range mappings / 2 {
		m, err := unix.Mmap(-1, 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		check(err)
		check(unix.Mprotect(m[:os.Getpagesize()], unix.PROT_READ))
	}
}

// start runs the test program in a role until the test ends.
func start(t *testing.T, what string) int {
	t.Helper()
	program, err := os.Executable()
	outside.Must(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), role+"="+what)
	in, err := cmd.StdinPipe()
	outside.Must(t, err)
	out, err := cmd.StdoutPipe()
	outside.Must(t, err)
	cmd.Stderr = os.Stderr
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close() //nolint:errcheck // it ends
		_ = cmd.Wait() //nolint:errcheck // its status does not matter
	})
	if n, err := out.Read(make([]byte, 16)); err != nil || n == 0 {
		t.Fatalf("%s did not start: %v", what, err)
	}
	return cmd.Process.Pid
}

type interner struct {
	sampler.Identity
	index *observe.Index
}

func (i interner) Process(pid int, _ uint64) (observe.ID, bool) {
	return i.index.ID(observe.Entity{Kind: observe.Process, ID: fmt.Sprint(pid)}), true
}

func opened(tb testing.TB) (*reader, *observe.Index) {
	tb.Helper()
	x := observe.NewIndex(observe.DefaultLimit)
	h := &sampler.Host{Proc: "/proc", Index: x, Identity: interner{index: x}, Patience: patience.New("/proc")}
	r, err := Sampler.Open(h)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() }) //nolint:errcheck // read only
	return r.(*reader), x
}

// read makes a pass, even if none is due.
func read(tb testing.TB, r *reader, x *observe.Index) *observe.Snapshot {
	tb.Helper()
	r.next = time.Time{}
	s := observe.NewSnapshot(x)
	if err := r.Read(s); err != nil {
		tb.Fatal(err)
	}
	return s
}

// value returns a metric of a process; -1 if it is absent.
func value(s *observe.Snapshot, x *observe.Index, m *observe.Metric, pid int) float64 {
	id, ok := x.Find(observe.Entity{Kind: observe.Process, ID: fmt.Sprint(pid)})
	if v, has := s.Value(m, id); ok && has {
		return v
	}
	return -1
}

func TestInotify(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("takes another user's number, so that the instances are not those of root")
	}
	pid := start(t, "inotify")
	r, x := opened(t)
	s := read(t, r, x)
	for m, want := range map[*observe.Metric]float64{
		catalog.ProcessInotify: instances, catalog.ProcessUserInotify: instances,
		catalog.ProcessWatches: 2 * instances, catalog.ProcessUserWatches: 2 * instances, catalog.ProcessUser: uid,
	} {
		if got := value(s, x, m, pid); got != want {
			t.Errorf("%s = %v, want %v", m.Key(), got, want)
		}
	}
}

func TestZombies(t *testing.T) {
	pid := start(t, "zombies")
	r, x := opened(t)
	got := 0.0
	for range 50 { // the last children may still be ending
		if got = value(read(t, r, x), x, catalog.ProcessZombies, pid); got == children {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("zombies = %v, want %d", got, children)
}

func TestMaps(t *testing.T) {
	pid := start(t, "maps")
	r, x := opened(t)
	s := read(t, r, x)
	got := value(s, x, catalog.ProcessMaps, pid)
	want := float64(lines(fmt.Sprintf("/proc/%d/maps", pid)))
	if got != want || got < mappings {
		t.Errorf("mappings = %v, want %v, at least %d", got, want, mappings)
	}
	if few := value(s, x, catalog.ProcessMaps, os.Getpid()); few != -1 {
		t.Errorf("a program with %v mappings was written", few)
	}
}

func TestHost(t *testing.T) {
	r, x := opened(t)
	s := read(t, r, x)
	node := x.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	for _, m := range []*observe.Metric{catalog.HostTasks, catalog.HostThreadMax, catalog.HostPIDMax, catalog.InotifyInstanceLimit,
		catalog.InotifyWatchLimit, catalog.MapLimit, catalog.NeighbourEntries4, catalog.NeighbourLimit4, catalog.NeighbourRefused4} {
		if _, ok := s.Value(m, node); !ok {
			t.Errorf("%s is not known", m.Key())
		}
	}
	for _, g := range s.Gaps {
		// The first process of a sandbox can have privileges that the test does not have.
		if !strings.Contains(g.Reason, "may not be listed") {
			t.Errorf("gap: %s", g.Reason)
		}
	}
	// Between two passes the levels of processes are not repeated, the limits are.
	s = observe.NewSnapshot(x)
	outside.Must(t, r.Read(s))
	if _, ok := s.Value(catalog.MapLimit, node); !ok {
		t.Error("no limit between two passes")
	}
}

func TestNoProc(t *testing.T) {
	_, err := Sampler.Open(&sampler.Host{Proc: t.TempDir(), Index: observe.NewIndex(10)})
	if !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), "loadavg") {
		t.Errorf("error = %v, want that there is no loadavg", err)
	}
}

func TestParseTasks(t *testing.T) {
	for text, want := range map[string]float64{"1.52 2.60 1.77 1/90 20197\n": 90, "0.00 0.00 0.00 3/100000 7\n": 100_000, "": -1, "1/": -1} {
		got, ok := parseTasks([]byte(text))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("tasks of %q = %v, want %v", text, got, want)
		}
	}
}

func TestExempt(t *testing.T) {
	list := []netlink.Neigh{{State: netlink.NUD_REACHABLE}, {State: netlink.NUD_PERMANENT}, {State: netlink.NUD_STALE, Flags: unix.NTF_EXT_LEARNED}}
	if got := exempt(list); got != 2 {
		t.Errorf("%d entries do not count, want 2", got)
	}
}

// BenchmarkPass measures a pass over the processes of this host.
func BenchmarkPass(b *testing.B) {
	r, x := opened(b)
	s := observe.NewSnapshot(x)
	processes := 0
	for b.Loop() {
		s.Reset()
		r.next = time.Time{}
		if err := r.Read(s); err != nil {
			b.Fatal(err)
		}
		processes = len(r.procs)
	}
	b.ReportMetric(float64(processes), "processes")
}
