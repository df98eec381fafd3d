// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"os"
	"os/exec"
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
			got = p.peer(os.Getpid(), tt.reads, st.Ino)
			return got != 0
		})
		if got != tt.want.Process.Pid {
			t.Errorf("%s = %d, want %d", tt.name, got, tt.want.Process.Pid)
		}
	}
}
