// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"testing"

	"github.com/prometheus/procfs"
)

// BenchmarkProcfs compares the parser of this package with procfs. Both read
// /proc/self/net/sockstat.
func BenchmarkProcfs(b *testing.B) {
	fs, err := procfs.NewFS("/proc/self")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("headroom", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 4096)
		for b.Loop() {
			text, err := readOnce("/proc/self/net/sockstat", buf)
			if err != nil {
				b.Fatal(err)
			}
			parseSockstat(text)
		}
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fs.NetSockstat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
