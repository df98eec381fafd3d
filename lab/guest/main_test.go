// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"testing"
)

const (
	// inGuest is an environment variable that the guest's init sets.
	inGuest = "HEADROOM_GUEST"
	// headroom is the path of the command, which bpf/kernels puts there.
	headroom = "/bin/headroom"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(lessMode); mode != "" {
		runWithLess(mode, os.Args[1:])
	}
	if os.Getenv(eaterMode) != "" {
		eatMemory()
	}
	if size := os.Getenv(workerMode); size != "" {
		ended(workOnMemory(size))
	}
	if path := os.Getenv(copierMode); path != "" {
		ended(copyFile(path))
	}
	if os.Getenv(inGuest) == "" {
		fmt.Println("lab/guest: runs in the guests of bpf/kernels only")
		return
	}
	os.Exit(m.Run())
}

// ended exits a helper after a failure.
func ended(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
