// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// hooks are the programs attached while the benchmark runs. Empty programs on the same
// hooks show the minimum cost.
var hooks = []struct {
	name   string
	attach func(*testing.B) io.Closer
}{
	{"none", func(*testing.B) io.Closer { return closers(nil) }},
	{"empty", emptyPrograms},
	{"requests", func(b *testing.B) io.Closer { return probeFor(b) }},
}

type closers []io.Closer

func (cs closers) Close() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func probeFor(b *testing.B) io.Closer {
	p, err := Open(nil)
	if err != nil {
		b.Skip(err)
	}
	return p
}

func emptyPrograms(b *testing.B) io.Closer {
	var cs closers
	for _, tracepoint := range []string{"sk_data_ready", "sock_send_length", "inet_sock_set_state"} {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: tracepoint, License: "Dual BSD/GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		})
		if err != nil {
			b.Skip(err)
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			b.Skip(err)
		}
		cs = append(cs, l, p)
	}
	return cs
}

// BenchmarkRoundTrip is one request and its answer on one connection and one CPU, as
// redis-benchmark -c 1 makes: two sends and two arrivals. One thread has both ends, so
// that no scheduling is measured. Compare the rows, and use the minimum of several runs.
func BenchmarkRoundTrip(b *testing.B) {
	for _, h := range hooks {
		b.Run(h.name, func(b *testing.B) {
			defer h.attach(b).Close()
			pin(b)
			client, server := connection(b)
			buf := make([]byte, 64)
			for b.Loop() {
				move(b, client, server, buf)
				move(b, server, client, buf)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(4*b.N), "ns/event")
		})
	}
}

// BenchmarkConnection is a connection with one request.
func BenchmarkConnection(b *testing.B) {
	for _, h := range hooks {
		b.Run(h.name, func(b *testing.B) {
			defer h.attach(b).Close()
			pin(b)
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			buf := make([]byte, 64)
			for b.Loop() {
				client, err := net.Dial("tcp4", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				server, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				for _, end := range [][2]net.Conn{{client, server}, {server, client}} {
					if _, err := end[0].Write(buf); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(end[1], buf); err != nil {
						b.Fatal(err)
					}
				}
				if err := errors.Join(client.(*net.TCPConn).SetLinger(0), client.Close(), server.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// pin locks the calling goroutine to its thread, and the thread to CPU 0. The thread
// ends with the goroutine, because it is never unlocked.
func pin(b *testing.B) {
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(0)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		b.Error(err)
	}
}

// connection returns the two ends of a TCP connection, which block.
func connection(b *testing.B) (client, server int) {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(l) //nolint:errcheck // read only
	local := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := errors.Join(unix.Bind(l, local), unix.Listen(l, 1)); err != nil {
		b.Fatal(err)
	}
	at, err := unix.Getsockname(l)
	if err != nil {
		b.Fatal(err)
	}
	if client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		b.Fatal(err)
	}
	if err := unix.Connect(client, at); err != nil {
		b.Fatal(err)
	}
	if server, _, err = unix.Accept(l); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = errors.Join(unix.Close(client), unix.Close(server)) })
	return client, server
}

func move(b *testing.B, from, to int, buf []byte) {
	if _, err := unix.Write(from, buf); err != nil {
		b.Fatal(err)
	}
	if _, err := unix.Read(to, buf); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkQuery is one query of PostgreSQL and its answer, as BenchmarkRoundTrip. Its
// statement is counted; compare with a message that has none.
func BenchmarkQuery(b *testing.B) {
	for name, text := range map[string]string{
		"none":      message('S'),
		"short":     simple("SELECT abalance FROM pgbench_accounts WHERE aid = 12345"),
		"long":      simple("SELECT " + strings.Repeat(`"Post"."createdAt", `, 45) + "FROM posts WHERE id = 42"),
		"prepared":  bind("s1"),
		"unwatched": "",
	} {
		b.Run(name, func(b *testing.B) {
			if text != "" {
				defer probeFor(b).Close()
			} else {
				text = message('S')
			}
			pin(b)
			client, server := connection(b)
			buf, answer := make([]byte, 4096), []byte(ready)
			for b.Loop() {
				exchange(b, client, server, []byte(text), buf)
				exchange(b, server, client, answer, buf)
			}
		})
	}
}

func exchange(b *testing.B, from, to int, text, buf []byte) {
	if _, err := unix.Write(from, text); err != nil {
		b.Fatal(err)
	}
	if _, err := unix.Read(to, buf); err != nil {
		b.Fatal(err)
	}
}
