// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"os"
	"testing"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// BenchmarkProcfs compares the parsers of this package with procfs. Both open and
// read the same files. The table of Unix sockets has a thousand rows, as on a busy node.
func BenchmarkProcfs(b *testing.B) {
	for range 500 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(pair[0]) //nolint:errcheck // not used
		defer unix.Close(pair[1]) //nolint:errcheck // not used
	}
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		b.Fatal(err)
	}
	self, err := fs.Self()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		read func() error
	}{
		{"limits/headroom", func() error {
			text, err := os.ReadFile("/proc/self/limits")
			if err != nil {
				return err
			}
			_, _, err = parseLimits(text)
			return err
		}},
		{"limits/procfs", func() error { _, err := self.Limits(); return err }},
		{"unix/headroom", func() error {
			f, err := os.Open("/proc/self/net/unix")
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // read only
			return parseUnix(f, make(map[uint64]listener))
		}},
		{"unix/procfs", func() error { _, err := fs.NetUNIX(); return err }},
		{"file-nr/headroom", func() error {
			text, err := os.ReadFile("/proc/sys/fs/file-nr")
			if err != nil {
				return err
			}
			_, _, err = parseFileNr(text)
			return err
		}},
		{"file-nr/procfs", func() error { _, err := fs.SysctlInts("fs.file-nr"); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
