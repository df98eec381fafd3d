// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseQueues(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:B3C4 01 00000000:00000051 00:00000000 00000000     0        0 13 1 0 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:B3C5 01 00000000:00000000 00:00000000 00000000     0        0 14 1 0 20 4 30 10 -1
   4: 0100007F:1F90 0100007F:B3C6 06 00000000:00000007 03:00000176 00000000     0        0 0 3 0
`
	q := newQueues()
	if err := parseQueues(strings.NewReader(table), q); err != nil {
		t.Fatal(err)
	}
	if got := q.waiting([]socket{{inode: 11}}); got != 4 {
		t.Errorf("waiting = %d, want 4: three to accept and one unread", got)
	}
	if got := q.waiting([]socket{{inode: 12}}); got != 0 {
		t.Errorf("waiting for the idle listener = %d, want 0", got)
	}
	for name, cut := range map[string]string{"cut": "h\n0: 0100007F:1F90 00", "no port": "h\n0: x y 0A 0:0 a b c d e"} {
		if err := parseQueues(strings.NewReader(cut), q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestConnectionsThatWait makes connections that are not accepted, and checks that the
// kernel reports them.
func TestConnectionsThatWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil {
		t.Skip("no /proc/self/net/tcp")
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &ns); err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]*queues{
		"tables":    readQueues("/proc/self/net/tcp", "/proc/self/net/tcp6"),
		"inet_diag": askQueues(ns.Ino),
	} {
		if q == nil {
			t.Fatalf("%s could not be read", name)
		}
		if got := q.waiting([]socket{{inode: st.Ino}}); got != 3 {
			t.Errorf("%s: waiting = %d, want 3", name, got)
		}
	}
}

// TestUnanswered checks a request that was read and not answered, and then answers it.
func TestUnanswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &ns); err != nil {
		t.Fatal(err)
	}
	pending := func() int { return askQueues(ns.Ino).pending[port] }
	if got := pending(); got != 0 {
		t.Errorf("an idle connection counts as %d, want 0", got)
	}
	time.Sleep(20 * time.Millisecond) // the kernel counts in milliseconds
	buf := make([]byte, 1)
	if _, err := client.Write(buf); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(buf); err != nil {
		t.Fatal(err)
	}
	if got := pending(); got != 1 {
		t.Errorf("a request that was read and not answered counts as %d, want 1", got)
	}
	time.Sleep(20 * time.Millisecond)
	if _, err := server.Write(buf); err != nil {
		t.Fatal(err)
	}
	if got := pending(); got != 0 {
		t.Errorf("an answered request counts as %d, want 0", got)
	}
}

func FuzzQueues(f *testing.F) {
	f.Add("h\n0: 0100007F:1F90 00000000:0000 0A 0:3 0:0 0 0 0 11\n")
	f.Fuzz(func(_ *testing.T, table string) {
		q := newQueues()
		_ = parseQueues(strings.NewReader(table), q) //nolint:errcheck // must not panic
	})
}
