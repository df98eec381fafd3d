// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// TestGuestUsage enables the kernel's statistics for a moment: the program on
// switches must then have runs that took time.
func TestGuestUsage(t *testing.T) {
	p := open(t, Options{})
	counting, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	defer counting.Close() //nolint:errcheck // the kernel stops counting in any case
	outside.Eventually(t, patience, "runs of "+tickProgOnSwitch, func() bool {
		time.Sleep(time.Millisecond) // causes a context switch
		for _, u := range p.Usage() {
			if u.Name == tickProgOnSwitch {
				return u.Runs > 0 && u.Time > 0
			}
		}
		t.Fatalf("%s is not among %+v", tickProgOnSwitch, p.Usage())
		return false
	})
}
