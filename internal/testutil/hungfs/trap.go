// SPDX-License-Identifier: Apache-2.0

package hungfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Trap is a dependency of a process on the file system.
type Trap string

// The traps.
const (
	// TrapRoot makes the file system the root directory of the process.
	TrapRoot Trap = "root"
	// TrapMemory holds the memory lock of the process: readers of its arguments or its
	// mappings wait for the file system.
	TrapMemory Trap = "memory"
)

// Child starts a process whose executable is on another file system, and which
// depends on f as trap specifies.
func (f *FS) Child(trap Trap) *exec.Cmd {
	f.t.Helper()
	cmd := again(roleChild, string(trap), f.Dir)
	ready := f.pipe(cmd)
	f.start(cmd)
	f.await(ready)
	return cmd
}

// fall makes this process depend on the file system at dir.
func fall(trap Trap, dir string) error {
	var err error
	switch trap {
	case TrapRoot:
		err = unix.Chroot(dir)
	case TrapMemory:
		err = lockMemory(filepath.Join(dir, direct))
	default:
		err = fmt.Errorf("no trap %q", trap)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return nil
}

// lockMemory repeatedly maps a file that is read with direct I/O. Each mapping
// drops the file's page cache while it holds the memory lock of the process, and
// waits for pages that are being read (fuse_file_mmap in fs/fuse/file.c).
func lockMemory(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	fd := int(f.Fd())
	var sum byte
	go forever(func() { withPage(fd, func(page []byte) { sum += page[0] }) })
	go forever(func() { withPage(fd, func([]byte) {}) })
	return nil
}

func forever(do func()) {
	for {
		do()
	}
}

func withPage(fd int, use func([]byte)) {
	page, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return
	}
	use(page)
	_ = unix.Munmap(page)
}
