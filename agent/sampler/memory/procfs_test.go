// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"os"
	"testing"

	"github.com/prometheus/procfs"
)

// BenchmarkProcfs compares the parser of this package with procfs. Both read
// /proc/meminfo.
func BenchmarkProcfs(b *testing.B) {
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("headroom", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			text, err := os.ReadFile("/proc/meminfo")
			if err != nil {
				b.Fatal(err)
			}
			parseMeminfo(text)
		}
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fs.Meminfo(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
