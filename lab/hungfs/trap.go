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

// A Trap is a way in which a process depends on the file system.
type Trap string

// Traps.
const (
	// TrapRoot is a process whose root directory is the file system.
	TrapRoot Trap = "root"
	// TrapMemory is one whose memory is locked: what asks for its arguments or
	// its mappings waits for the file system.
	TrapMemory Trap = "memory"
)

// Child starts a process whose executable is elsewhere and which can fall into a
// trap.
func (f *FS) Child(trap Trap) *exec.Cmd {
	f.t.Helper()
	cmd := again(roleChild, string(trap), f.Dir)
	ready := f.pipe(cmd)
	f.start(cmd)
	f.await(ready)
	return cmd
}

// fall has this process depend on the file system at dir.
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

// lockMemory maps a file that is read past the cache, over and over. Each mapping
// drops what is cached of the file, under the lock of the process's memory, and
// waits for a page that is being read meanwhile (fuse_file_mmap in fs/fuse/file.c).
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
