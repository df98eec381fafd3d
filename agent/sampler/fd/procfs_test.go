// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"os"
	"testing"

	"github.com/prometheus/procfs"
)

// BenchmarkProcfs compares the parser of this package with procfs. Both read
// /proc/self/limits.
func BenchmarkProcfs(b *testing.B) {
	self, err := procfs.Self()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("headroom", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			text, err := os.ReadFile("/proc/self/limits")
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := parseLimits(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := self.Limits(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
