// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/tick"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const someMaps = `55d0c0a00000-55d0c0a28000 r--p 00000000 fe:01 1056                       /usr/bin/node
7f2c4a000000-7f2c4a021000 r--s 00000000 00:2f 57                         /mnt/two words/model.bin
7ffd1c000000-7ffd1c021000 rw-p 00000000 00:00 0                          [stack]
`

func TestMappedPath(t *testing.T) {
	for _, tt := range []struct {
		target tick.Target
		want   string
	}{
		{tick.Target{Major: 0xfe, Minor: 1, Inode: 1056}, "/usr/bin/node"},
		{tick.Target{Minor: 0x2f, Inode: 57}, "/mnt/two words/model.bin"},
		{tick.Target{Minor: 0x2f, Inode: 5}, ""},
		{tick.Target{}, ""},
	} {
		if got := mappedPath(strings.NewReader(someMaps), tt.target); got != tt.want {
			t.Errorf("path of %+v = %q, want %q", tt.target, got, tt.want)
		}
	}
}

const someMounts = `22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw
36 28 0:47 / /mnt/slow rw,noatime - fuse.sshfs backup@host:/ rw,user_id=0
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
`

func TestFilesystemType(t *testing.T) {
	for d, want := range map[device]string{{0, 47}: "fuse.sshfs", {254, 1}: "ext4"} {
		if got, err := filesystemType(strings.NewReader(someMounts), d); got != want || err != nil {
			t.Errorf("type on %v = %q, %v, want %q", d, got, err, want)
		}
	}
	if got, err := filesystemType(strings.NewReader(someMounts), device{254, 2}); !errors.Is(err, errNotMounted) {
		t.Errorf("type on a device that is not mounted = %q, %v", got, err)
	}
}

// TestPipePeer finds a process at the other end of each of two pipes: one that reads
// and one that writes.
func TestPipePeer(t *testing.T) {
	reader, writer := exec.Command("sleep", "60"), exec.Command("sleep", "60")
	in, err := reader.StdinPipe()
	outside.Must(t, err)
	out, err := writer.StdoutPipe()
	outside.Must(t, err)
	for _, c := range []*exec.Cmd{reader, writer} {
		outside.Must(t, c.Start())
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	}
	p := newPipes("/proc")
	for _, tt := range []struct {
		name  string
		f     any
		reads bool
		want  *exec.Cmd
	}{{"reader", in, false, reader}, {"writer", out, true, writer}} {
		var st unix.Stat_t
		outside.Must(t, unix.Fstat(int(tt.f.(*os.File).Fd()), &st))
		got := 0
		outside.Eventually(t, 20*time.Second, "the "+tt.name+" of a pipe", func() bool {
			p.look()
			got = p.peer(os.Getpid(), tt.reads, pipeID{inode: st.Ino})
			return got != 0
		})
		if got != tt.want.Process.Pid {
			t.Errorf("%s = %d, want %d", tt.name, got, tt.want.Process.Pid)
		}
	}
}

// TestFIFOPeer finds the process that reads a FIFO, by its inode and its name.
func TestFIFOPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs.fifo")
	outside.Must(t, unix.Mkfifo(path, 0o600))
	both, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for the other end
	outside.Must(t, err)
	defer both.Close() //nolint:errcheck // of the test
	reader := exec.Command("sleep", "60")
	reader.Stdin, err = os.Open(path)
	outside.Must(t, err)
	outside.Must(t, reader.Start())
	t.Cleanup(func() { _ = reader.Process.Kill(); _ = reader.Wait() })
	var st unix.Stat_t
	outside.Must(t, unix.Fstat(int(both.Fd()), &st))
	p, got := newPipes("/proc"), 0
	outside.Eventually(t, 20*time.Second, "the reader of a FIFO", func() bool {
		p.look()
		got = p.peer(os.Getpid(), false, pipeID{st.Ino, "logs.fifo"})
		return got != 0
	})
	if got != reader.Process.Pid {
		t.Errorf("reader = %d, want %d", got, reader.Process.Pid)
	}
}

// TestWritesThatWait checks the flags of files whose writes wait for the disk.
func TestWritesThatWait(t *testing.T) {
	for flags, want := range map[int]string{unix.O_SYNC: "O_SYNC", unix.O_DSYNC: "O_DSYNC", unix.O_APPEND: ""} {
		f, err := os.OpenFile(filepath.Join(t.TempDir(), "log"), os.O_WRONLY|os.O_CREATE|flags, 0o600)
		outside.Must(t, err)
		d, ok := procDir("/proc").descriptor(os.Getpid(), strconv.Itoa(int(f.Fd())))
		if got := waitsForDisk(d.flags); !ok || got != want {
			t.Errorf("flag of a file opened with %#o = %q, %v, want %q", flags, got, ok, want)
		}
		outside.Must(t, f.Close())
	}
}
