// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGuestTarget checks the targets of calls that sleep on descriptors of all kinds.
func TestGuestTarget(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "epoll", -1)
	for _, tt := range []struct {
		name   string
		action byte
		nr     int32
		kind   TargetKind
	}{
		{"read from a pipe", 'r', unix.SYS_READ, PipeTarget},
		{"poll of a pipe", 'o', unix.SYS_PPOLL, PipeTarget},
		{"write to a full pipe", 'w', unix.SYS_WRITE, PipeTarget},
		{"read from a TCP connection", 't', unix.SYS_READ, InetTarget},
		{"read from a Unix connection", 'u', unix.SYS_READ, UnixTarget},
		{"sleep", 's', unix.SYS_NANOSLEEP, NoTarget},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.do(t, tt.action)
			got := stallOf(t, p, h.pid).Longest
			if got.Nr != tt.nr || got.Target.Kind != tt.kind {
				t.Fatalf("longest call = %+v, want call %d on kind %d", got, tt.nr, tt.kind)
			}
			checkTarget(t, got.Target, h.pid)
		})
	}
}

func checkTarget(t *testing.T, got Target, pid int) {
	t.Helper()
	switch got.Kind {
	case NoTarget:
		return
	case InetTarget:
		if !got.Local || !got.Peer.IsLoopback() || got.Port == 0 {
			t.Errorf("target = %+v, want a local peer", got)
		}
	case UnixTarget:
		if got.PeerPID != pid {
			t.Errorf("peer = %d, want %d", got.PeerPID, pid)
		}
	}
	if got.FD <= 2 || got.Inode == 0 {
		t.Errorf("target = %+v, want a descriptor with an inode", got)
	}
}

// TestMappedFile checks that the target of a page fault is the mapped file, for a
// file whose pages are not in memory.
func TestMappedFile(t *testing.T) {
	p := open(t, Options{})
	if !p.Features().MappedFiles {
		t.Skip("this kernel has no tracepoint for reads of mapped files")
	}
	h := start(t, "epoll", -1)
	for range attempts {
		h.do(t, 'M')
		l, ok := loopOf(t, p, h.pid)
		if !ok {
			t.Fatalf("no loop of %d", h.pid)
		}
		for _, c := range l.BlockedBy {
			if c.Nr != CallFault || c.Target.Kind != FileTarget {
				continue
			}
			if c.Target.FD != -1 || c.Target.Inode == 0 {
				t.Errorf("target = %+v, want a mapped file", c.Target)
			}
			return
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(os.TempDir(), &fs); err == nil && (fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC) {
		t.Skip("temporary files are in memory: set TMPDIR to a directory on a disk")
	}
	t.Error("no page fault on a mapped file was observed")
}
