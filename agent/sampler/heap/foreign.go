// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxForeign is larger than any cgroup file.
const maxForeign = 64 << 10

var errForeign = errors.New("not a regular file")

// readForeign reads a file through the root directory of another process. The owner
// of that directory decides what the file is: a FIFO without a writer, a file
// without an end, or a link to a device of the host, where opening alone can have
// an effect. So the type of the file is checked before it is opened for reading.
func readForeign(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // opened with O_PATH, nothing to flush
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
