// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/internal/testutil/private"
)

// idle is the environment variable that makes this binary a program that does nothing,
// under any name and with any arguments.
const idle = "HEADROOM_TEST_IDLE"

func beIdle() {
	if os.Getenv(idle) != "" {
		time.Sleep(time.Minute)
		os.Exit(0)
	}
}

// TestPrivateLines starts each command line and searches for its marked word in
// everything that is known about the process.
func TestPrivateLines(t *testing.T) {
	programs, dir := private.Start(t, idle+"=1")
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	for _, p := range programs {
		outside.Eventually(t, startTime, "it runs: "+p.Line, func() bool {
			link, err := os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/exe")
			return err == nil && strings.HasPrefix(link, dir)
		})
		id, ok := r.Current(p.PID)
		if !ok {
			t.Fatalf("%q is not known", p.Line)
		}
		r.Thread(id, p.PID)
		for x := id; ; {
			for key, value := range r.index.Info(x).Attrs {
				if strings.Contains(value, private.Marked) {
					t.Errorf("%q: %s = %q", p.Line, key, value)
				}
			}
			up, ok := r.index.Parent(x)
			if !ok {
				break
			}
			x = up
		}
	}
}
