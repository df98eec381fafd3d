// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// resolver returns a Resolver of this host and the clock that the test sets.
func resolver(tb testing.TB) (*Resolver, *time.Duration) {
	tb.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		tb.Skip("no /proc:", err)
	}
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	now := new(time.Duration)
	r.clock = func() time.Duration { return *now }
	return r, now
}

func start(tb testing.TB, name string, arg ...string) int {
	tb.Helper()
	cmd := exec.Command(name, arg...)
	if err := cmd.Start(); err != nil {
		tb.Skipf("cannot start %s: %v", name, err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
		_ = cmd.Wait()         //nolint:errcheck // killed
	})
	return cmd.Process.Pid
}

func attr(t *testing.T, r *Resolver, pid int, key string) string {
	t.Helper()
	id, ok := r.Current(pid)
	if !ok {
		t.Fatalf("process %d is not known", pid)
	}
	return r.index.Attr(id, key)
}

// startTime is how long a child process may take to reach the expected state.
const startTime = 20 * time.Second

func TestThisProcess(t *testing.T) {
	r, _ := resolver(t)
	id, ok := r.Current(os.Getpid())
	if !ok {
		t.Fatal("this process is not known")
	}
	for key, want := range map[string]string{
		catalog.AttrPID:        strconv.Itoa(os.Getpid()),
		catalog.AttrExecutable: filepath.Base(os.Args[0]),
		catalog.AttrCommand:    filepath.Base(os.Args[0]),
		catalog.AttrRuntime:    "go",
		catalog.AttrSelf:       "true",
	} {
		if got := r.index.Attr(id, key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if _, ok := r.index.Ancestor(id, observe.Cgroup); !ok {
		t.Error("this process has no cgroup")
	}
	node, ok := r.index.Ancestor(id, observe.Node)
	if !ok || r.index.Entity(node).ID != catalog.NodeID {
		t.Error("this process is on no node")
	}
	_, startTime, _ := strings.Cut(r.index.Entity(id).ID, ":")
	n, err := strconv.ParseUint(startTime, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if again, ok := r.Process(os.Getpid(), n); !ok || again != id {
		t.Errorf("second look = %d %v, want %d", again, ok, id)
	}
	if _, ok := r.Process(os.Getpid(), n+1); ok {
		t.Error("a process with another start time was taken for this one")
	}
}

func TestThread(t *testing.T) {
	r, _ := resolver(t)
	id, _ := r.Current(os.Getpid())
	thread := r.Thread(id, os.Getpid())
	if got := r.Thread(id, os.Getpid()); got != thread {
		t.Errorf("second look = %d, want %d", got, thread)
	}
	if up, ok := r.index.Parent(thread); !ok || up != id {
		t.Errorf("parent = %d %v, want %d", up, ok, id)
	}
	comm, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/comm")
	if err != nil {
		t.Skip(err)
	}
	if got := r.index.Attr(thread, catalog.AttrThreadName); got != strings.TrimSpace(string(comm)) {
		t.Errorf("name = %q, want %q", got, comm)
	}
	r.Ended(id)
	if got := r.Thread(id, os.Getpid()); got != observe.None {
		t.Errorf("thread of an ended process = %d", got)
	}
}

func TestGone(t *testing.T) {
	r, now := resolver(t)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	pid := cmd.Process.Pid
	id, ok := r.Current(pid)
	if !ok {
		t.Fatal("not known while alive")
	}
	_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
	_ = cmd.Wait()         //nolint:errcheck // killed
	*now += 2 * fresh
	if _, ok := r.Current(pid); ok {
		t.Error("a process that is gone is still current")
	}
	if _, ok := r.Current(1 << 30); ok {
		t.Error("a process that never was is known")
	}
	r.Ended(id)
	r.Ended(id)
	if len(r.procs) > 0 && r.procs[pid] != nil || r.byID[id] != nil {
		t.Error("an ended process is still cached")
	}
}

func TestExecIsNoticed(t *testing.T) {
	r, now := resolver(t)
	gate := filepath.Join(t.TempDir(), "gate")
	pid := start(t, "bash", "-c", "until [ -e "+gate+" ]; do read -t 0.01 <> <(:); done; exec sleep 60")
	outside.Eventually(t, startTime, "bash starts", func() bool {
		*now += lastLook * 2
		return attr(t, r, pid, catalog.AttrExecutable) == "bash"
	})
	before, _ := r.Current(pid)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	outside.Eventually(t, startTime, "sleep is seen", func() bool {
		*now += lastLook * 2
		return attr(t, r, pid, catalog.AttrCommand) == "sleep"
	})
	if after, _ := r.Current(pid); after != before {
		t.Errorf("after exec the entity = %d, want %d as before", after, before)
	}
}

func TestForkedChildrenShareTheirOwner(t *testing.T) {
	r, now := resolver(t)
	// Two subshells without exec, each of which starts another program.
	parent := start(t, "bash", "-c", "(sleep 60; :) & (sleep 61; :) & wait")
	children := func(pid int) []int {
		var pids []int
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children") //nolint:errcheck // empty when gone
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
		return pids
	}
	outside.Eventually(t, startTime, "two workers", func() bool {
		kids := children(parent)
		return len(kids) == 2 && len(children(kids[0])) == 1 && len(children(kids[1])) == 1
	})
	t.Cleanup(func() {
		for _, worker := range children(parent) {
			for _, pid := range children(worker) {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill() //nolint:errcheck // it may have ended
				}
			}
		}
	})
	if r.placeOf(t, parent).container != "" || r.placeOf(t, parent).service != "" {
		t.Skip("the tests run in a container or service: all of it has one owner")
	}
	sleeper := children(children(parent)[0])[0]
	outside.Eventually(t, startTime, "the sleeper is another program", func() bool {
		*now += lastLook * 2
		return attr(t, r, sleeper, catalog.AttrCommand) == "sleep"
	})
	owner := attr(t, r, parent, catalog.AttrOwner)
	for _, worker := range children(parent) {
		if got := attr(t, r, worker, catalog.AttrOwner); got != owner {
			t.Errorf("owner of a worker = %q, want its parent's %q", got, owner)
		}
	}
	if got := attr(t, r, sleeper, catalog.AttrOwner); got == owner || !strings.HasPrefix(got, strconv.Itoa(sleeper)+":") {
		t.Errorf("owner of another program = %q, want its own", got)
	}
}

func (r *Resolver) placeOf(t *testing.T, pid int) place {
	t.Helper()
	c, err := r.source.cgroup(pid)
	if err != nil {
		t.Fatal(err)
	}
	return placeOf(c, allTrusted)
}

// TestRecorded reads a recorded /proc: see testdata.
func TestRecorded(t *testing.T) {
	r := New("testdata/proc", "", observe.NewIndex(1000))
	id, ok := r.Current(4242)
	if !ok {
		t.Fatal("4242 is not known")
	}
	for key, want := range map[string]string{
		catalog.AttrExecutable:    "node", // not readable: the name comes from argv
		catalog.AttrCommand:       "node shop/server.js",
		catalog.AttrRuntime:       "node",
		catalog.AttrContainerID:   hex1,
		catalog.AttrContainerKind: "containerd",
		catalog.AttrPodUID:        uid,
		catalog.AttrQoS:           "Burstable",
		catalog.AttrOwner:         hex1,
		catalog.AttrService:       "",
	} {
		if got := r.index.Attr(id, key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	parent, _ := r.index.Parent(id)
	if got := r.index.Attr(parent, catalog.AttrContainerID); got != hex1 {
		t.Errorf("container of the cgroup = %q, want %q", got, hex1)
	}
	pod, _ := r.index.Parent(parent)
	if got := r.index.Attr(pod, catalog.AttrContainerID); got != "" {
		t.Errorf("container of the pod's cgroup = %q, want none", got)
	}
	if got := r.index.Attr(pod, catalog.AttrPodUID); got != uid {
		t.Errorf("uid of the pod's cgroup = %q, want %q", got, uid)
	}
	if kernel, ok := r.Current(2); !ok || r.index.Attr(kernel, catalog.AttrKernelThread) != "true" || r.index.Attr(kernel, catalog.AttrCommand) != "[kthreadd]" {
		t.Errorf("kthreadd = %v", r.index.Info(kernel).Attrs)
	}
	odd, ok := r.Current(77)
	if !ok || r.index.Attr(odd, catalog.AttrExecutable) != observe.UnknownProgram {
		t.Errorf("a process with an odd name = %v", r.index.Info(odd).Attrs)
	}
	if _, ok := r.Current(78); ok {
		t.Error("a truncated stat was taken for a process")
	}
}

func TestConcurrentUse(t *testing.T) {
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				for pid := range 200 {
					if id, ok := r.Current(pid + 1); ok {
						r.Thread(id, pid+1)
					}
				}
				if id, ok := r.Current(os.Getpid()); ok {
					r.Ended(id)
				}
				r.Cgroup("/a/b/c")
			}
		})
	}
	wg.Wait()
}

func TestCacheIsBounded(t *testing.T) {
	r, now := resolver(t)
	for pid := range maxProcesses + 10 {
		r.keep(&process{pid: pid + 1, id: observe.ID(pid)})
	}
	if len(r.procs) > maxProcesses || len(r.byID) > maxProcesses {
		t.Errorf("%d processes are cached, want at most %d", len(r.procs), maxProcesses)
	}
	*now += time.Hour
	for i := range maxCgroups + 10 {
		r.Cgroup("/" + strconv.Itoa(i))
	}
	if len(r.cgroups) > maxCgroups {
		t.Errorf("%d cgroups are cached, want at most %d", len(r.cgroups), maxCgroups)
	}
}

func BenchmarkCached(b *testing.B) {
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	id, ok := r.Current(os.Getpid())
	if !ok {
		b.Skip("no /proc")
	}
	_, s, _ := strings.Cut(r.index.Entity(id).ID, ":")
	start, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Process(os.Getpid(), start)
	}
}

func BenchmarkLearn(b *testing.B) {
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	b.ReportAllocs()
	for b.Loop() {
		if id, ok := r.Current(os.Getpid()); ok {
			r.Ended(id)
		}
	}
}

func BenchmarkLightLook(b *testing.B) {
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	if _, ok := r.Current(os.Getpid()); !ok {
		b.Skip("no /proc")
	}
	p := r.procs[os.Getpid()]
	b.ReportAllocs()
	for b.Loop() {
		r.refresh(p, false)
	}
}

// BenchmarkLearnScript is BenchmarkLearn for an interpreter, whose script must be
// found.
func BenchmarkLearnScript(b *testing.B) {
	dir := b.TempDir()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for from, to := range map[string]string{self: "node", "identity_test.go": "server.js"} {
		content, err := os.ReadFile(from)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), content, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.Command("./node", "server.js")
	cmd.Dir, cmd.Env = dir, []string{idle + "=1"}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	b.ReportAllocs()
	for b.Loop() {
		id, ok := r.Current(cmd.Process.Pid)
		if !ok {
			b.Fatal("it is gone")
		}
		r.Ended(id)
	}
	if id, _ := r.Current(cmd.Process.Pid); r.index.Attr(id, catalog.AttrCommand) != "node server.js" {
		b.Errorf("it is %q", r.index.Attr(id, catalog.AttrCommand))
	}
}
