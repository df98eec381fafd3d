// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxForeign is more than any file of a cgroup has.
const maxForeign = 64 << 10

var errForeign = errors.New("not a regular file")

// readForeign reads a file through the root of another process. Its owner
// decides what is there: a FIFO without a writer, a file without an end,
// or a link to a device of the host, which opening alone can set off. What it
// is is therefore known before it is opened to be read.
func readForeign(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errForeign
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(f, maxForeign))
}
