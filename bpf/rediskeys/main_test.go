// SPDX-License-Identifier: Apache-2.0

package rediskeys

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/headroom-project/headroom/bpf/support"
)

// Tests named TestGuest need only a kernel: they also run in a guest whose user space
// is this test binary.

var ran int // tests that had a loaded probe

func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Printf("bpf/rediskeys: %d tests ran with a live probe\n", ran)
	os.Exit(code)
}

// open opens a probe for one test, and skips where the host does not allow it. Kernels
// before 6.3 do not, whatever HEADROOM_REQUIRE_PROBE says.
func open(t testing.TB) *Probe {
	t.Helper()
	p, err := Open(nil)
	var u *support.Unsupported
	if errors.As(err, &u) && (u.Cure == newerKernel || os.Getenv("HEADROOM_REQUIRE_PROBE") == "") {
		t.Skipf("no probe here: %v", err)
	}
	if err != nil {
		if v, ok := errors.AsType[*ebpf.VerifierError](err); ok {
			t.Logf("%+v", v)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	ran++
	return p
}
