// SPDX-License-Identifier: Apache-2.0

package live

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Requests to a FUSE server (include/uapi/linux/fuse.h).
const (
	fuseLookup  = 1
	fuseGetattr = 3
	fuseOpen    = 14
	fuseRead    = 15
	fuseInit    = 26

	fuseHeaderIn, fuseHeaderOut = 40, 16
)

// deadFileServer mounts a file that can be opened, but whose content is never sent.
// It returns the folder, and a function that ends the server: processes that wait for
// it cannot exit before.
func deadFileServer(t *testing.T, l *lab) (dir string, end func()) {
	t.Helper()
	dir = filepath.Join(l.dir, "dead")
	outside.Must(t, os.MkdirAll(dir, 0o755))
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	outside.Must(t, unix.Mount("lab", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options))
	go serveDead(fd)
	end = sync.OnceFunc(func() {
		// All pending requests fail, and the server reads ENODEV.
		if err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting the dead file server: %v", err)
		}
	})
	t.Cleanup(end)
	return dir, end
}

func serveDead(fd int) {
	defer unix.Close(fd)
	request := make([]byte, 1<<20)
	for {
		n, err := unix.Read(fd, request)
		if err == unix.EINTR || err == unix.ENOENT { // ENOENT: the caller has given up
			continue
		}
		if err != nil || n < fuseHeaderIn {
			return
		}
		opcode := binary.NativeEndian.Uint32(request[4:])
		if opcode == fuseRead {
			continue // never answered
		}
		body, errno := answerDead(opcode)
		answer := make([]byte, fuseHeaderOut, fuseHeaderOut+len(body))
		answer = append(answer, body...)
		binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
		binary.NativeEndian.PutUint32(answer[4:], uint32(-int32(errno)))
		copy(answer[8:16], request[8:16]) // which request
		_, _ = unix.Write(fd, answer)     // FORGET must not be answered: the write fails
	}
}

// answerDead returns the body of the answer to a request: fuse_init_out,
// fuse_entry_out, fuse_attr_out or fuse_open_out.
func answerDead(opcode uint32) ([]byte, syscall.Errno) {
	const valid = 3600
	switch opcode {
	case fuseInit:
		body := make([]byte, 64)
		binary.NativeEndian.PutUint32(body, 7)         // major
		binary.NativeEndian.PutUint32(body[4:], 31)    // minor
		binary.NativeEndian.PutUint32(body[20:], 4096) // max_write
		return body, 0
	case fuseLookup:
		body := make([]byte, 128)
		binary.NativeEndian.PutUint64(body, 2)          // nodeid
		binary.NativeEndian.PutUint64(body[16:], valid) // entry_valid
		binary.NativeEndian.PutUint64(body[24:], valid) // attr_valid
		fileAttributes(body[40:])
		return body, 0
	case fuseGetattr:
		body := make([]byte, 104)
		binary.NativeEndian.PutUint64(body, valid)
		fileAttributes(body[16:])
		return body, 0
	case fuseOpen:
		return make([]byte, 16), 0
	}
	return nil, syscall.ENOSYS
}

// fileAttributes fills in a fuse_attr of a file of one page.
func fileAttributes(b []byte) {
	binary.NativeEndian.PutUint64(b, 2)                          // ino
	binary.NativeEndian.PutUint64(b[8:], 4096)                   // size
	binary.NativeEndian.PutUint64(b[16:], 8)                     // blocks
	binary.NativeEndian.PutUint32(b[60:], syscall.S_IFREG|0o444) // mode
	binary.NativeEndian.PutUint32(b[64:], 1)                     // nlink
}
