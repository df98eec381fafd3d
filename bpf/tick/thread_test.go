// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leader reads the record of this process's leader, which includes the counters
// of exited threads.
func leader(t *testing.T, p *Probe) Thread {
	t.Helper()
	var own, rest Thread
	if err := p.ReadThreads(func(v *Thread) {
		switch {
		case int(v.Tgid) != os.Getpid():
		case v.Tid == v.Tgid:
			own = *v
		default:
			rest.MajorFaults += v.MajorFaults
			rest.DiskRead += v.DiskRead
			rest.DiskWritten += v.DiskWritten
		}
	}); err != nil {
		t.Fatal(err)
	}
	own.MajorFaults += rest.MajorFaults
	own.DiskRead += rest.DiskRead
	own.DiskWritten += rest.DiskWritten
	return own
}

func withThreads(t *testing.T) *Probe {
	t.Helper()
	p := open(t, Options{})
	if !p.Features().Threads {
		t.Skip("no task iterator")
	}
	return p
}

// field reads "Name: 12 kB" or "name: 12" of a file in /proc/self.
func field(t *testing.T, file, name string) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		t.Skip(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		var n uint64
		if rest, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Skipf("no %s in /proc/self/%s", name, file)
	return 0
}

// statm reads resident and shared pages from /proc.
func statm(t *testing.T) (resident, shared uint64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size uint64
	if _, err := fmt.Sscan(string(b), &size, &resident, &shared); err != nil {
		t.Fatal(err)
	}
	return resident, shared
}

// TestGuestMemory compares the kernel's counts with /proc, which adds up the parts
// of all CPUs only on new kernels.
func TestGuestMemory(t *testing.T) {
	const mapped = 64 << 20
	p := withThreads(t)
	before := leader(t, p).Memory
	anon := mapping(t, mapped, unix.MAP_PRIVATE)
	shmem := mapping(t, mapped/2, unix.MAP_SHARED)
	after := leader(t, p).Memory
	resident, shared := statm(t)
	held := uint64(max(32, 2*runtime.NumCPU()) * runtime.NumCPU())
	slack := 2*held + 1<<20/uint64(os.Getpagesize()) // the garbage collector runs in the meantime
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"anonymous pages", after.Anon, resident - shared},
		{"file and shared pages", after.File + after.Shmem, shared},
		{"growth of anonymous pages", after.Anon - before.Anon, uint64(len(anon) / os.Getpagesize())},
		{"growth of shared pages", after.Shmem - before.Shmem, uint64(len(shmem) / os.Getpagesize())},
		{"peak", after.Peak, field(t, "status", "VmHWM") << 10 / uint64(os.Getpagesize())},
		{"pages in swap", after.Swap, field(t, "status", "VmSwap") << 10 / uint64(os.Getpagesize())},
	} {
		if d := int64(c.got - c.want); d > int64(slack) || d < -int64(slack) {
			t.Errorf("%s = %d, want %d within %d", c.what, c.got, c.want, slack)
		}
	}
}

// mapping returns memory with every page touched.
func mapping(t *testing.T, size, flags int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return b
}

// TestGuestIO checks that the I/O counters lie between readings of /proc before and
// after.
func TestGuestIO(t *testing.T) {
	p := withThreads(t)
	writeAndSync(t, filepath.Join(t.TempDir(), "file"))
	read, written := field(t, "io", "read_bytes"), field(t, "io", "write_bytes")
	v := leader(t, p)
	if high := field(t, "io", "read_bytes"); v.DiskRead < read || v.DiskRead > high {
		t.Errorf("read = %d bytes, want %d to %d", v.DiskRead, read, high)
	}
	if high := field(t, "io", "write_bytes"); v.DiskWritten < written || v.DiskWritten > high {
		t.Errorf("written = %d bytes, want %d to %d", v.DiskWritten, written, high)
	}
	t.Logf("read %d bytes, wrote %d, %d major faults", v.DiskRead, v.DiskWritten, v.MajorFaults)
}

// TestMajorFaults checks the count of major faults: a thread that then exits faults
// in the pages of a mapped file, which were dropped from memory.
func TestMajorFaults(t *testing.T) {
	p := withThreads(t)
	name := filepath.Join(t.TempDir(), "file")
	f := writeAndSync(t, name)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		t.Skip("temporary files are in memory: set TMPDIR to a directory on a disk")
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	before := leader(t, p).MajorFaults
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with it
		done <- touch(f)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// The kernel may not count every fault as major.
	const want = fileSize / touched / 2
	time.Sleep(50 * time.Millisecond)
	if n := leader(t, p).MajorFaults - before; n < want {
		t.Errorf("%d major faults, want at least %d", n, want)
	}
}

const touched = 1 << 20 // touch reads one byte in this many

func touch(f *os.File) error {
	b, err := unix.Mmap(int(f.Fd()), 0, fileSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(b) //nolint:errcheck // the pages were touched
	// Without it the first fault reads the others ahead: 8 MiB at a time on
	// a disk with such a read_ahead_kb.
	if err := unix.Madvise(b, unix.MADV_RANDOM); err != nil {
		return err
	}
	sum := byte(0)
	for i := 0; i < len(b); i += touched {
		sum += b[i]
	}
	if sum != 0 {
		return fmt.Errorf("the file is not all zeros")
	}
	return nil
}

const fileSize = 16 << 20

func writeAndSync(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write(make([]byte, fileSize)); err != nil {
		t.Skip(err)
	}
	if err := f.Sync(); err != nil {
		t.Skip(err)
	}
	return f
}

// TestDiskWait checks DiskWait with a thread that waits for a disk most of the time.
func TestDiskWait(t *testing.T) {
	p := withThreads(t)
	f := writeAndSync(t, filepath.Join(t.TempDir(), "file"))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for b := make([]byte, 1<<20); ; {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := f.WriteAt(b, 0); err != nil || f.Sync() != nil {
				return
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	seen := 0
	for range 2000 {
		if err := p.ReadThreads(func(v *Thread) {
			if int(v.Tgid) == os.Getpid() && v.DiskWait {
				seen++
				if v.State != 'D' {
					t.Errorf("state = %c, want D", v.State)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if seen == 0 {
		t.Skip("no thread was seen waiting for a disk: there is no disk here, or it never makes a thread wait")
	}
	t.Logf("seen in %d of 2000 readings", seen)
}
