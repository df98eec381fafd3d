// SPDX-License-Identifier: Apache-2.0

package netstat

import (
	"os"
	"testing"

	"github.com/prometheus/procfs"
)

// BenchmarkProcfs compares the parser of this package with procfs. Both read
// /proc/self/net/netstat.
func BenchmarkProcfs(b *testing.B) {
	self, err := procfs.Self()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("headroom", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			text, err := os.ReadFile("/proc/self/net/netstat")
			if err != nil {
				b.Fatal(err)
			}
			counter(text, "TcpExt", "ListenDrops")
		}
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := self.Netstat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
