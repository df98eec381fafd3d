// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// stranger is the ID of a user other than root and the user who runs the tests.
const stranger = 65534

// prepare fails the test if one of the given steps failed.
func prepare(t *testing.T, steps ...error) {
	t.Helper()
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
}

// save writes text to path in the same way as a recording is written.
func save(path, text string) error {
	p, err := Create(path)
	if err != nil {
		return err
	}
	if _, err := p.WriteString(text); err != nil {
		p.Discard()
		return err
	}
	return p.Keep()
}

// names returns the names of the files in a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	prepare(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.hr")
	p, err := Create(path)
	prepare(t, err)
	if left := names(t, dir); left != "" {
		t.Errorf("before it is complete there is %q", left)
	}
	_, err = p.WriteString("one")
	prepare(t, err, p.Keep())
	st, err := os.Stat(path)
	prepare(t, err)
	if st.Mode() != newMode || st.Size() != 3 {
		t.Errorf("a new file has mode %v and %d bytes, want %v and 3", st.Mode(), st.Size(), fs.FileMode(newMode))
	}
}

// TestReplace checks that the old file remains until the new one is complete, and that
// the new file gets its mode.
func TestReplace(t *testing.T) {
	for _, unnamed := range []bool{true, false} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.hr")
		prepare(t, os.WriteFile(path, []byte("old"), 0o600), os.Chmod(path, 0o666))
		p, err := Create(path)
		prepare(t, err)
		if !unnamed {
			_ = p.File.Close()
			prepare(t, p.openNamed())
		}
		_, err = p.WriteString("new")
		prepare(t, err)
		if text, _ := os.ReadFile(path); string(text) != "old" {
			t.Errorf("before the new file is complete there is %q", text)
		}
		prepare(t, p.Keep())
		text, _ := os.ReadFile(path)
		st, err := os.Stat(path)
		prepare(t, err)
		if string(text) != "new" || st.Mode() != 0o644 || names(t, dir) != "x.hr" {
			t.Errorf("there is %q with mode %v among %q, want the new text, -rw-r--r--, and no other file", text, st.Mode(), names(t, dir))
		}
	}
}

func TestDiscard(t *testing.T) {
	for _, unnamed := range []bool{true, false} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.hr")
		prepare(t, os.WriteFile(path, []byte("old"), 0o600))
		p, err := Create(path)
		prepare(t, err)
		if !unnamed {
			_ = p.File.Close()
			prepare(t, p.openNamed())
		}
		p.Discard()
		if text, _ := os.ReadFile(path); string(text) != "old" || names(t, dir) != "x.hr" {
			t.Errorf("there is %q among %q, want the old file alone", text, names(t, dir))
		}
	}
}

// TestCreateRefuses checks that anything other than a regular file of this user stays
// unchanged.
func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	shared := in("shared")
	prepare(t,
		unix.Mkfifo(in("fifo"), 0o600), unix.Mknod(in("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Mknod(in("socket"), unix.S_IFSOCK|0o600, 0), os.WriteFile(in("file"), []byte("mine"), 0o600),
		os.Symlink("file", in("link")), os.Symlink("nothing", in("dangling")), os.Mkdir(in("directory"), 0o700),
		os.Mkdir(shared, 0o700), os.Chmod(shared, 0o777|os.ModeSticky), os.WriteFile(in("shared/theirs"), nil, 0o600), os.Chown(in("shared/theirs"), stranger, stranger),
		os.Symlink("/proc/self/fd/1", in("stdout")), os.WriteFile(in("mounted"), nil, 0o600), unix.Mount(in("file"), in("mounted"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(in("mounted"), unix.MNT_DETACH) })
	before := listing(t, dir)
	for path, want := range map[string]string{
		"": "empty", dir: "is a directory", dir + "/": "is a directory", in("directory"): "is a directory", in("."): "is a directory", in("directory/.."): "is a directory",
		in("fifo"): "is a FIFO", in("null"): "is a device", in("socket"): "is a socket",
		in("link"): "is a symbolic link", in("dangling"): "is a symbolic link", in("stdout"): "is a symbolic link",
		in("missing/x.hr"): "no such file", in("file/x.hr"): "not a directory", in("shared/theirs"): "belongs to user nobody",
		in("mounted"): "is a mount point", in(strings.Repeat("n", 300)): "name too long", "/proc/x.hr": "", "/dev/fd/1": "",
	} {
		if err := save(path, "gone"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error that says %q", path, err, want)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("there was\n%sand now there is\n%s", before, after)
	}
}

// listing returns the type, owner and content of all files.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out bytes.Buffer
	prepare(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		out.WriteString(path + " " + st.Mode().String())
		if st.Mode().IsRegular() {
			text, _ := os.ReadFile(path)
			out.Write(text)
		}
		out.WriteString("\n")
		return nil
	}))
	return out.String()
}

// TestForeignLinkInPath checks that a symbolic link of another user does not lead to
// root's directories.
func TestForeignLinkInPath(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	prepare(t, os.Mkdir(in("etc"), 0o755), os.Mkdir(in("home"), 0o755), os.Mkdir(in("home/data"), 0o755),
		os.Symlink("../etc", in("home/relative")), os.Symlink(in("etc"), in("home/absolute")), os.Symlink("data", in("home/own")), os.Symlink("home/data", in("mine")))
	for _, name := range []string{"home", "home/data", "home/relative", "home/absolute", "home/own"} {
		prepare(t, os.Lchown(in(name), stranger, stranger))
	}
	for _, name := range []string{"home/relative/x.hr", "home/absolute/x.hr"} {
		if err := save(in(name), "x"); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v, want ErrUnsafe", name, err)
		}
	}
	for _, name := range []string{"home/x.hr", "home/own/x.hr", "mine/y.hr"} {
		if err := save(in(name), "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := names(t, in("etc")); left != "" {
		t.Errorf("a link led to a file in another directory: %s", left)
	}
}

// TestAppearsMeanwhile checks that what appears under the name during the recording is
// not replaced unless it is a regular file.
func TestAppearsMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.hr")
	p, err := Create(path)
	prepare(t, err, os.WriteFile(filepath.Join(dir, "victim"), []byte("old"), 0o600), os.Symlink("victim", path))
	_, err = p.WriteString("new")
	prepare(t, err)
	if err := p.Keep(); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("with a link in its place: %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "victim")); string(text) != "old" || names(t, dir) != "victim x.hr" {
		t.Errorf("the victim is %q among %q", text, names(t, dir))
	}
}

// TestSweep checks that temporary files of a killed process are removed, and that those
// in use are kept.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.hr")
	d, err := openParent(dir)
	prepare(t, err)
	p := &Pending{dir: d, path: path, name: "x.hr"}
	prepare(t, p.openNamed(), os.WriteFile(filepath.Join(dir, temporaryPrefix+"KILLED"+temporarySuffix), nil, 0o600))
	q := &Pending{dir: d, path: path, name: "x.hr"}
	prepare(t, q.openNamed())
	if left := names(t, dir); strings.Contains(left, "KILLED") || !strings.Contains(left, p.temporary) {
		t.Errorf("there is %q, want %s and %s", left, p.temporary, q.temporary)
	}
	prepare(t, p.Keep())
	if left := names(t, dir); !strings.Contains(left, "x.hr") {
		t.Errorf("there is %q", left)
	}
	_ = q.File.Close()
}

func TestOpenOwn(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	prepare(t, os.Mkdir(in("good"), 0o700), os.Symlink("good", in("link")), os.Mkdir(in("theirs"), 0o700), os.Mkdir(in("theirs/mine"), 0o700),
		os.Symlink(in("good"), in("their-link")), os.Mkdir(in("open"), 0o700), os.Mkdir(in("open/mine"), 0o700), os.Chmod(in("open"), 0o777),
		os.Mkdir(in("tmp"), 0o700), os.Mkdir(in("tmp/mine"), 0o700), os.Chmod(in("tmp"), 0o777|os.ModeSticky), os.WriteFile(in("file"), nil, 0o600),
		os.Mkdir(in("group"), 0o700), os.Chmod(in("group"), 0o770), os.Chown(in("group"), 0, stranger), os.Symlink("loop", in("loop")),
		os.Chown(in("theirs"), stranger, stranger), os.Lchown(in("their-link"), stranger, stranger))
	for _, name := range []string{"good", "link", "tmp/mine", "new", "link/../new2", "tmp/new", "tmp"} {
		d, err := OpenOwn(in(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		prepare(t, d.Close())
	}
	for name, want := range map[string]string{
		"theirs": "belongs to user nobody", "theirs/mine": "belongs to user nobody", "theirs/new": "belongs to user nobody", "their-link": "belongs to user nobody",
		"open/mine": "chmod o-w", "open/new": "chmod o-w", "group": "chmod g-w",
		"file": "not a directory", "missing/new": "no such file", "loop": "too many levels",
	} {
		if _, err := OpenOwn(in(name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %q", name, err, want)
		}
	}
}

// TestOpenRefuses checks that planted files are neither opened nor changed.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	prepare(t, os.WriteFile(in("victim"), []byte("secret"), 0o600), os.Symlink("victim", in("link")), os.Symlink("new", in("dangling")), unix.Mkfifo(in("fifo"), 0o600),
		os.WriteFile(in("first"), nil, 0o600), os.Link(in("first"), in("hard")), os.WriteFile(in("theirs"), nil, 0o600), os.Chown(in("theirs"), stranger, stranger), os.Mkdir(in("directory"), 0o700))
	d, err := OpenOwn(dir)
	prepare(t, err)
	defer d.Close() //nolint:errcheck // read only
	for _, name := range []string{"link", "dangling", "fifo", "hard", "theirs", "directory"} {
		for _, flags := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE, os.O_WRONLY} {
			if f, err := d.Open(name, flags); err == nil {
				t.Errorf("%s was opened as %s", name, f.Name())
			} else if name != "directory" && !errors.Is(err, ErrUnsafe) {
				t.Errorf("%s: %v, want ErrUnsafe", name, err)
			}
		}
	}
	f, err := d.Create("link")
	prepare(t, err)
	_, err = f.WriteString("new")
	prepare(t, err, f.Close())
	if text, _ := os.ReadFile(in("victim")); string(text) != "secret" {
		t.Errorf("the file behind a link is now %q", text)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	prepare(t, os.WriteFile(in("good"), []byte("text"), 0o600), os.Symlink("good", in("link")), unix.Mkfifo(in("fifo"), 0o600), os.WriteFile(in("large"), make([]byte, 2000), 0o600))
	for _, name := range []string{"good", "link"} {
		if text, err := Read(in(name), 1024); err != nil || string(text) != "text" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for path, want := range map[string]string{in("large"): "larger than 1 KiB", in("fifo"): "not a regular file", dir: "is a directory", "/dev/zero": "not a regular file", in("none"): "no such file"} {
		if _, err := Read(path, 1024); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %q", path, err, want)
		}
	}
}

func TestChangeable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	prepare(t, os.WriteFile(path, nil, 0o600))
	if err := Changeable(path); err != nil {
		t.Errorf("a file of one's own: %v", err)
	}
	prepare(t, os.Chmod(path, 0o602))
	if err := Changeable(path); err == nil {
		t.Error("a file that every user can write to is taken for safe")
	}
	prepare(t, os.Chmod(path, 0o600), os.Chown(path, stranger, stranger))
	if err := Changeable(path); err == nil {
		t.Error("a file of another user is taken for safe")
	}
}
