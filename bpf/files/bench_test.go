// SPDX-License-Identifier: Apache-2.0

package files

import (
	"net"
	"os"
	"testing"
)

// BenchmarkRead makes passes over the host with many additional descriptors, half
// of them connections to a server.
func BenchmarkRead(b *testing.B) {
	p := open(b)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for range 2000 {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		s, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		for range 2 {
			f, err := os.Open("/dev/null")
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
		}
	}
	fds := 0
	b.ReportAllocs()
	for b.Loop() {
		fds = 0
		if err := p.Read(Visitor{Process: func(v *Process) { fds += v.FDs() }}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(fds), "ns/descriptor")
	b.ReportMetric(float64(fds), "descriptors")
}
