// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Sockets yields the inodes of the sockets among the first descriptors of a process, and
// returns the number of descriptors read. fd is the process's folder of descriptors.
//
//	/proc/4242/fd/3 -> socket:[123456]
func Sockets(fd string, most int, yield func(inode uint64)) (read int, err error) {
	dir, err := os.Open(fd)
	if err != nil {
		return 0, err
	}
	defer dir.Close()                  //nolint:errcheck // read only
	names, _ := dir.Readdirnames(most) // a process that ends has no more
	var buf [64]byte
	for _, file := range names {
		length, err := unix.Readlinkat(int(dir.Fd()), file, buf[:])
		if err != nil {
			continue
		}
		number, ok := bytes.CutPrefix(buf[:length], []byte("socket:["))
		if !ok {
			continue
		}
		if inode, err := strconv.ParseUint(string(bytes.TrimSuffix(number, []byte("]"))), 10, 64); err == nil {
			yield(inode)
		}
	}
	return len(names), nil
}
