// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/hungfs"
)

func TestMain(m *testing.M) {
	hungfs.Main()
	beIdle()
	os.Exit(m.Run())
}

// TestHungFileSystem checks that processes that run from a file system that does not
// answer have a name, that this takes the time of only one hanging call, and that the
// hang is reported.
func TestHungFileSystem(t *testing.T) {
	fs := hungfs.Mount(t, "/bin/sleep")
	var pids []int
	for range 30 {
		pids = append(pids, fs.Start("60").Process.Pid)
	}
	locked := fs.Child(hungfs.TrapMemory).Process.Pid
	fs.Swallow()
	x := observe.NewIndex(1000)
	r := New("/proc", "/sys/fs/cgroup", x)
	began := time.Now()
	for _, pid := range append(pids, locked) {
		id, ok := r.Current(pid)
		if !ok || x.Attr(id, catalog.AttrExecutable) == "" || pid != locked && x.Attr(id, catalog.AttrExecutable) != hungfs.Program {
			t.Errorf("pid %d: %v, executable %q", pid, ok, x.Attr(id, catalog.AttrExecutable))
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("31 processes took %v", took)
	}
	reported := false
	for _, g := range r.Patience().Gaps() {
		reported = reported || strings.Contains(g.Reason, "fuse.hungfs file system at "+fs.Dir) && strings.Contains(g.Reason, "(pid ")
	}
	if hangs := r.Patience().Hanging(); !reported || hangs > 2 {
		t.Errorf("%d calls hang, %+v", hangs, r.Patience().Gaps())
	}
}
