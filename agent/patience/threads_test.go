// SPDX-License-Identifier: Apache-2.0

package patience

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

// fewThreads is the environment variable that makes the test program make calls that
// hold their threads.
const fewThreads = "HEADROOM_TEST_FEW_THREADS"

// holdThreads makes more hanging calls than there are threads.
func holdThreads() {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		panic(err)
	}
	p := New("/proc")
	for pid := range 2 * maxHanging {
		Ask(p, Call{PID: pid, File: []string{Cmdline, Environ}[pid%2]}, func() error {
			_, err := unix.Read(pipe[0], make([]byte, 1))
			return err
		})
	}
	gaps := p.Gaps()
	fmt.Println(p.Hanging(), gaps[len(gaps)-1].Reason)
}

// TestFewThreads checks that hanging calls do not use up the threads of a cgroup that
// allows few, and that the report states that other calls are not made.
func TestFewThreads(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("makes a cgroup")
	}
	limit := int64(40)
	g, err := cgroups.New(fmt.Sprintf("headroom-threads-%d", os.Getpid()), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, "pids")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Delete() //nolint:errcheck // the test has its answer
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := g.Command(program)
	cmd.Env = append(os.Environ(), fewThreads+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "8 8 calls hang, and no more are made") {
		t.Errorf("40 threads, and calls that hang: %v\n%.2000s", err, out)
	}
}

func TestThreadLimit(t *testing.T) {
	proc, trees := t.TempDir(), t.TempDir()
	file := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := threadLimit(proc, trees); got != math.MaxInt {
		t.Errorf("without cgroups the limit is %d", got)
	}
	file(proc+"/self/cgroup", "9:pids:/a/b\n1:name=systemd:/c\n0::/u/v\n")
	file(trees+"/pids/a/b/pids.max", "max\n")
	file(trees+"/pids/a/pids.max", "70\n")
	file(trees+"/c/pids.max", "1\n")
	if got := threadLimit(proc, trees); got != 70 {
		t.Errorf("the limit of cgroup v1 is %d, want that of the cgroup above, 70", got)
	}
	file(trees+"/u/v/pids.max", "60\n")
	if got := threadLimit(proc, trees); got != 60 {
		t.Errorf("the limit of cgroup v2 is %d, want 60", got)
	}
	file(trees+"/pids.max", "50\n") // a container's own cgroup
	if got := hangingLimit(proc, trees); got != (50-otherThreads)/2 {
		t.Errorf("%d calls may hang with 50 threads", got)
	}
	file(trees+"/pids.max", "5\n")
	if got := hangingLimit(proc, trees); got != leastHanging {
		t.Errorf("%d calls may hang with 5 threads, want %d", got, leastHanging)
	}
}
