// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"os"
	"testing"

	"github.com/prometheus/procfs/blockdevice"
)

// BenchmarkProcfs compares the parser of this package with procfs. Both read
// /proc/diskstats.
func BenchmarkProcfs(b *testing.B) {
	fs, err := blockdevice.NewFS("/proc", "/sys")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("headroom", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			text, err := os.ReadFile("/proc/diskstats")
			if err != nil {
				b.Fatal(err)
			}
			parse(text, func(stats) {})
		}
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fs.ProcDiskstats(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
