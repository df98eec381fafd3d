// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"os"
	"testing"

	"github.com/prometheus/procfs"
)

// BenchmarkProcfs compares this package with procfs. Both open and read files of
// this process.
func BenchmarkProcfs(b *testing.B) {
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		b.Fatal(err)
	}
	pid := os.Getpid()
	self, err := fs.Proc(pid)
	if err != nil {
		b.Fatal(err)
	}
	f := newFiles("/proc")
	ours := func(file string, parse func([]byte) error) func() error {
		return func() error {
			text, err := f.once(f.pid(pid, file))
			if err != nil {
				return err
			}
			return parse(text)
		}
	}
	for _, c := range []struct {
		name string
		read func() error
	}{
		{"schedstat/headroom", ours("schedstat", func(text []byte) error { _, err := parseSchedstat(text); return err })},
		{"schedstat/procfs", func() error { _, err := self.Schedstat(); return err }},
		{"statm/headroom", ours("statm", func(text []byte) error { _, _, err := parseStatm(text); return err })},
		{"statm/procfs", func() error { _, err := self.Statm(); return err }},
		{"status/headroom", ours("status", func(text []byte) error {
			if _, ok := parseAffinity(text); !ok {
				return errors.New("no affinity")
			}
			return nil
		})},
		{"status/procfs", func() error { _, err := self.NewStatus(); return err }},
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
