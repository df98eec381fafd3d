// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"path/filepath"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/sampler"
)

// BenchmarkProcfs compares this package with procfs. Both read a recorded file,
// because many hosts do not track connections.
func BenchmarkProcfs(b *testing.B) {
	const proc = "testdata/proc"
	fs, err := procfs.NewFS(proc)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("headroom", func(b *testing.B) {
		b.ReportAllocs()
		f, err := sampler.Keep(filepath.Join(proc, fileStat))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // read only
		for b.Loop() {
			text, err := f.Read()
			if err != nil {
				b.Fatal(err)
			}
			if _, _, ok := parseStat(text); !ok {
				b.Fatal("no statistics")
			}
		}
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fs.ConntrackStat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
