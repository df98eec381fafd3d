// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/headroom-project/headroom/bpf/support"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Tests named TestGuest need only a kernel: they also run in a guest whose user space
// is this test binary.

var ran int // tests that had a loaded probe

func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Printf("bpf/requests: %d tests ran with a live probe\n", ran)
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
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	ran++
	warmUp(t)
	return p
}

// warmUp makes each program run. Under emulation the first run takes so long that
// Linux 7 often switches threads in it, and it skips a program that another thread of
// the CPU has not finished: in a quarter of the runs the first call of a test was lost.
func warmUp(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	outside.Must(t, err)
	defer l.Close() //nolint:errcheck // nobody waits for it
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c) // until the client is gone
			_ = c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	outside.Must(t, err)
	defer c.Close() //nolint:errcheck // it has served
	for range 8 {
		_, err := io.WriteString(c, "ping")
		outside.Must(t, err)
		_, err = io.ReadFull(c, make([]byte, 4))
		outside.Must(t, err)
	}
}
