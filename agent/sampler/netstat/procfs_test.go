// SPDX-License-Identifier: Apache-2.0

package netstat

import (
	"os"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/sampler"
)

// BenchmarkProcfs compares the parser of tables with procfs. Both read
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

// BenchmarkProcfsSoftnet compares the reader of softnet_stat with procfs. Both read
// /proc/net/softnet_stat.
func BenchmarkProcfsSoftnet(b *testing.B) {
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("headroom", func(b *testing.B) {
		b.ReportAllocs()
		f, err := sampler.Keep("/proc/net/softnet_stat")
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // read only
		for b.Loop() {
			text, err := f.Read()
			if err != nil {
				b.Fatal(err)
			}
			if err := parseSoftnet(text, func(cpuPackets) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fs.NetSoftnetStat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
