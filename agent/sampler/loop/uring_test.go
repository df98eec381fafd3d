// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// TestRings checks which processes are named because they wait in io_uring.
func TestRings(t *testing.T) {
	if _, _, err := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0); err == unix.ENOSYS || err == unix.EPERM {
		t.Skipf("io_uring is not available: %v", err)
	}
	for _, tt := range []struct {
		how  string
		want bool
	}{
		{"ring", true},
		{"ring, hangs", true},
		{"ring, no socket", false},
		{"ring, epoll", false},
		{"ring, accept", false},
		{"ring, select", false},
		{"no epoll", false},
	} {
		pid := startPython(t, tt.how)
		index := observe.NewIndex(observe.DefaultLimit)
		id := index.ID(observe.Entity{Kind: observe.Process, ID: "server"})
		index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrPID: strconv.Itoa(pid), catalog.AttrCommand: "server"}})
		host := &sampler.Host{Proc: "/proc", Index: index, Identity: only{pid: pid, id: id}}
		r := &reader{proc: "/proc", host: host}
		outside.Eventually(t, 10*time.Second, "asleep: "+tt.how, func() bool {
			_, ok := r.inSyscall(pid, pid)
			return ok
		})
		r.findRings()
		s := observe.NewSnapshot(index)
		r.tellRings(s)
		named := len(s.Gaps) == 1 && strings.HasPrefix(s.Gaps[0].Reason, "server (pid "+strconv.Itoa(pid)+") waits for its clients in io_uring") && s.Gaps[0].Process == "server"
		if named != tt.want || !tt.want && len(s.Gaps) > 0 {
			t.Errorf("%q: gaps %+v, want named: %v", tt.how, s.Gaps, tt.want)
		}
		if tt.want && r.stuck(pid, "", make(sockets)) != nil {
			t.Errorf("%q: suspected of a hang, although its waits are not observed", tt.how)
		}
		host.Identity = nobody{}
		s = observe.NewSnapshot(index)
		if r.tellRings(s); len(s.Gaps) > 0 {
			t.Errorf("%q: gaps %+v after the process ended", tt.how, s.Gaps)
		}
	}
}

// only is an Identity with one process.
type only struct {
	sampler.Identity
	pid int
	id  observe.ID
}

func (o only) Current(pid int) (observe.ID, bool) { return o.id, pid == o.pid }
