// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/files"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// numbered returns n records of a given size, each of which contains its number.
func numbered(n, size int) func(func([]byte) error) error {
	return func(each func([]byte) error) error {
		for i := range n {
			if err := each(bytes.Repeat([]byte(strconv.Itoa(i)+"\n"), size)[:size]); err != nil {
				return err
			}
		}
		return nil
	}
}

// load returns the number of records, and checks that each is correct.
func load(t *testing.T, s *Store, size int) (n int, err error) {
	t.Helper()
	var want [][]byte
	if err := numbered(400, size)(func(r []byte) error { want = append(want, r); return nil }); err != nil {
		t.Fatal(err)
	}
	err = s.Load("file", 1, func(text []byte) error {
		if n >= len(want) || !bytes.Equal(text, want[n]) {
			t.Errorf("record %d is %.20q", n, text)
		}
		n++
		return nil
	})
	return n, err
}

func TestComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	if _, err := load(t, s, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first save: %v", err)
	}
	for _, n := range []int{0, 1, 400, 3} {
		if err := s.Save("file", 1, numbered(n, 100)); err != nil {
			t.Fatal(err)
		}
		if got, err := load(t, s, 100); got != n || err != nil {
			t.Errorf("%d records, %v, want %d", got, err, n)
		}
	}
}

// TestDamage checks that a file truncated or changed at any position yields the records
// before that position, is renamed, and does not prevent the start.
func TestDamage(t *testing.T) {
	const records, size = 6, 20
	dir := t.TempDir()
	s := open(t, dir)
	path, head := filepath.Join(dir, "file"), len(magic)+4
	if err := s.Save("file", 1, numbered(records, size)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		for name, damaged := range map[string][]byte{"cut off": whole[:at], "changed": flipped(whole, at)} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			n, err := load(t, s, size)
			if newer := name == "changed" && at >= len(magic) && at < head; newer != errors.Is(err, ErrNewer) || newer == errors.Is(err, ErrDamaged) {
				t.Errorf("%s at %d: %v", name, at, err)
			}
			if want := max(0, at-head) / (8 + size); n != want {
				t.Errorf("%s at %d: %d records, want the %d before it", name, at, n, want)
			}
			aside, err := os.ReadFile(path + asideName)
			if err != nil || !bytes.Equal(aside, damaged) {
				t.Errorf("%s at %d: it is not put aside: %v", name, at, err)
			}
		}
	}
	if err := s.Save("file", 1, numbered(2, size)); err != nil {
		t.Error(err)
	}
	if n, err := load(t, s, size); n != 2 || err != nil {
		t.Errorf("after all that %d records, %v", n, err)
	}
}

func flipped(text []byte, at int) []byte {
	other := slices.Clone(text)
	other[at] ^= 0x10
	return other
}

// TestRefusedRecord checks that a refused record is skipped and the records after it
// are loaded.
func TestRefusedRecord(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Save("file", 1, numbered(5, 10)); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := s.Load("file", 1, func([]byte) error {
		if n++; n == 2 {
			return errors.New("not mine")
		}
		return nil
	})
	if n != 5 || !errors.Is(err, ErrDamaged) {
		t.Errorf("%d records, %v, want five and one that is said", n, err)
	}
}

func TestNewerFileIsKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Save("file", 2, numbered(3, 10)); err != nil {
		t.Fatal(err)
	}
	if n, err := load(t, s, 10); n != 0 || !errors.Is(err, ErrNewer) {
		t.Errorf("%d records, %v", n, err)
	}
	if err := s.Save("file", 1, numbered(1, 10)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "file"+asideName), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if err := s.Load("file", 2, func([]byte) error { return nil }); err != nil {
		t.Errorf("the newer program finds %v", err)
	}
}

func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if _, err := Open(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one gets %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestNoDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a file", "missing/two", "a file/below"} {
		if s, err := Open(filepath.Join(dir, name)); err == nil {
			_ = s.Close()
			t.Errorf("%s is opened", name)
		} else {
			t.Log(err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Save("file", 1, numbered(3, 100)); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("file", 1, numbered(MaxFile>>20+1, 1<<20)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("err = %v", err)
	}
	if n, err := load(t, s, 100); n != 3 || err != nil {
		t.Errorf("then %d records, %v, want the old ones", n, err)
	}
}

// mount mounts a file system for the test, if the test runs as root.
func mount(t *testing.T, source, kind, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a filesystem of its own takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount(source, dir, kind, 0, options); err != nil {
		t.Fatalf("mounting %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDiskFull checks that saved state is kept when the disk is full, that no
// incomplete file takes space, and that saving succeeds when there is space again.
func TestDiskFull(t *testing.T) {
	dir := mount(t, "headroom-test", "tmpfs", "size=1m")
	s := open(t, dir)
	if err := s.Save("file", 1, numbered(100, 1000)); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 800<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Save("file", 1, numbered(400, 1000)); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("on a full disk: %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*"+unfinished)); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
		if n, err := load(t, s, 1000); n != 100 || err != nil {
			t.Fatalf("then %d records, %v, want the old ones", n, err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("file", 1, numbered(400, 1000)); err != nil {
		t.Fatal(err)
	}
	if n, err := load(t, s, 1000); n != 400 || err != nil {
		t.Errorf("with room again %d records, %v", n, err)
	}
}

// TestPlantedLinks checks that links that other users created in the directory are
// followed neither for reading nor for writing.
func TestPlantedLinks(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "file" + unfinished, "file" + asideName} {
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	if n, err := load(t, s, 10); n != 0 || !errors.Is(err, files.ErrUnsafe) {
		t.Errorf("reading a link: %d records, %v", n, err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "file"+unfinished)); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("file", 1, numbered(3, 10)); err != nil {
		t.Error(err)
	}
	if n, err := load(t, s, 10); n != 3 || err != nil {
		t.Errorf("then %d records, %v, want 3", n, err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "secret" {
		t.Errorf("the file behind the links is %q, %v", text, err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "other-lock")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), os.Rename(filepath.Join(dir, "other-lock"), filepath.Join(dir, lockName))); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, files.ErrUnsafe) {
		t.Errorf("with a link as lock: %v", err)
	}
}

// TestForeignDirectory checks that a directory of another user is refused.
func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "state")} {
		if _, err := Open(path); !errors.Is(err, files.ErrUnsafe) {
			t.Errorf("%s: %v, want ErrUnsafe", path, err)
		}
	}
}

// TestReadOnlyDisk checks an ext4 file system that is remounted read-only while the
// store is open, and one that was read-only before.
func TestReadOnlyDisk(t *testing.T) {
	dir := ext4(t)
	state := filepath.Join(dir, "state")
	s := open(t, state)
	if err := s.Save("file", 1, numbered(100, 1000)); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	// A file system cannot be remounted read-only while a file on it is open for
	// writing.
	if err := s.lock.Close(); err != nil {
		t.Fatal(err)
	}
	remount(unix.MS_RDONLY)
	if _, err := Open(state); !errors.Is(err, unix.EROFS) {
		t.Errorf("opening on a read-only disk: %v", err)
	}
	if err := s.Save("file", 1, numbered(1, 1000)); !errors.Is(err, unix.EROFS) {
		t.Errorf("saving to a read-only disk: %v", err)
	}
	if n, err := load(t, s, 1000); n != 100 || err != nil {
		t.Errorf("reading from it: %d records, %v", n, err)
	}
	remount(0)
	s = open(t, state)
	if err := s.Save("file", 1, numbered(7, 1000)); err != nil {
		t.Error(err)
	}
	_ = s.Close()
}

// ext4 mounts an ext4 file system of 16 MiB in a file.
func ext4(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if os.Geteuid() != 0 {
		t.Skip("a filesystem of its own takes root")
	}
	for _, args := range [][]string{{"truncate", "-s", "16M", image}, {"mkfs.ext4", "-q", "-F", image}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return dir
}

// writes is the environment variable that makes this binary save to a directory until
// it is killed: see TestKilled.
const writes = "HEADROOM_STORE_TEST_WRITES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writes); dir != "" {
		writeForEver(dir)
	}
	os.Exit(m.Run())
}

func writeForEver(dir string) {
	s, err := Open(dir)
	for n := 1; err == nil; n = n%200 + 1 {
		err = s.Save("file", 1, numbered(n, 5000))
		fmt.Println()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKilled checks that after the writer is killed at any time, the file is one
// complete save.
func TestKilled(t *testing.T) {
	const kills = 50
	dir := t.TempDir()
	seen := make(map[int]bool)
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writes+"="+dir)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		saves, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Wait for a number of saves, not for a time: a busy host completes few saves
		// in a given time.
		_, _ = io.CopyN(io.Discard, saves, rand.Int64N(30)) // Wait returns why it ended
		time.Sleep(rand.N(10 * time.Millisecond))
		_ = cmd.Process.Kill() // Wait returns whether it had ended before
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the writer ended by itself: %v", err)
		}
		s := open(t, dir)
		n, err := load(t, s, 5000)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 2 {
			t.Errorf("more than the file and its lock is left: %v", left)
		}
		seen[n] = true
		_ = s.Close()
	}
	if len(seen) < 10 {
		t.Errorf("the %d kills were all at one of %d moments", kills, len(seen))
	}
}

func FuzzRead(f *testing.F) {
	var good bytes.Buffer
	w := newWriter(&good)
	w.begin(1)
	_ = numbered(3, 9)(w.record) // to memory
	_ = w.end()
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		n := 0
		err := read(bytes.NewReader(slices.Clone(text)), 1, func([]byte) error { n++; return nil })
		if err == nil && n == 0 && len(text) < len(magic)+12 {
			t.Errorf("%q is a file without records", text)
		}
	})
}
