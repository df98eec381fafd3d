// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/headroom-project/headroom/bpf/support"
)

// Tests named TestGuest need only a kernel: they also run in a guest whose user space
// is this test binary.

// helperMode, set in the environment, makes the test binary a process
// that allocates memory without limit.
const helperMode = "HEADROOM_OOM_HELPER"

var ran int // tests that had a loaded probe

func TestMain(m *testing.M) {
	if os.Getenv(helperMode) != "" {
		eat()
	}
	code := m.Run()
	fmt.Printf("bpf/oom: %d tests ran with a live probe\n", ran)
	os.Exit(code)
}

// eat waits until its parent has moved it into a cgroup, and then allocates memory.
func eat() {
	runtime.LockOSThread()
	var b [1]byte
	if _, err := os.Stdin.Read(b[:]); err != nil {
		os.Exit(1)
	}
	var kept [][]byte
	for {
		chunk := make([]byte, 1<<20)
		for i := range chunk {
			chunk[i] = 1
		}
		kept = append(kept, chunk)
		time.Sleep(time.Millisecond)
		if len(kept) > 1000 {
			os.Exit(2)
		}
	}
}

func open(t testing.TB) *Probe {
	t.Helper()
	p, err := Open(nil)
	if errors.Is(err, support.ErrNotSupported) && os.Getenv("HEADROOM_REQUIRE_PROBE") == "" {
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
	return p
}
