// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/private"
)

// jar creates a zip file with classes.
func jar(t *testing.T, path string, classes ...string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for _, class := range classes {
		if _, err := w.Create(class); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// files creates files in a directory.
func files(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// libraries copies the libraries that this binary is linked to, if any, below a root
// directory.
func libraries(t *testing.T, root string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ldd", self).Output()
	if err != nil {
		return // static
	}
	for _, path := range strings.Fields(string(out)) {
		if !strings.HasPrefix(path, "/") {
			continue
		}
		library, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(root+path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+path, library, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNamesOfFiles starts programs from their directory and in a root directory of
// their own, as in a container.
func TestNamesOfFiles(t *testing.T) {
	lines := [][2]string{
		{"node server.js --token " + private.Marked, "node server.js"},
		{"node ./shop/server.js", "node shop/server.js"},
		{"node /srv/shop/server.js", "node shop/server.js"},
		{"node dist/main", "node dist/main"},
		{"node current/server.js", "node current/server.js"},
		{"node --new-flag=1 server.js", "node server.js"},
		{"node --new-flag server.js", "node"},
		{"node shop", "node"},
		{"node fifo", "node"},
		{"bash -eu run.sh " + private.Marked, "bash run.sh"},
		{"bash -o pipefail run.sh", "bash run.sh"},
		{"perl -T -I lib tool " + private.Marked, "perl tool"},
		{"php artisan queue:work " + private.Marked, "php artisan"},
		{"python3.11 -um mod " + private.Marked, "python3.11 -m mod"},
		{"python3.11 -m pkg " + private.Marked, "python3.11 -m pkg"},
		{"python3.11 -m installed.deep", "python3.11 -m installed.deep"},
		{"python3.11 -m absent", "python3.11"},
		{"java -Dpassword=" + private.Marked + " -cp other.jar:a.jar com.x.Main " + private.Marked, "java com.x.Main"},
		{"java -cp classes com.x.Other", "java com.x.Other"},
		{"java -cp lib/* com.x.Main", "java com.x.Main"},
		{"java -p lib -m x/com.x.Main", "java com.x.Main"},
		{"java -cp a.jar com.x.Absent", "java"},
		{"java -jar a.jar " + private.Marked, "java a.jar"},
		{"java -jar absent.jar", "java"},
		{"deno run -A https://h/server.js", "deno"},
		{"deno run --allow-net=h server.js", "deno server.js"},
		{"bun --smol run server.js", "bun server.js"},
		{"dotnet exec --depsfile d.json /srv/shop/Shop.dll", "dotnet Shop.dll"},
	}
	var commands []string
	for _, l := range lines {
		commands = append(commands, l[0])
	}
	for _, chroot := range []bool{false, true} {
		dir := private.Folder(t, commands)
		work := filepath.Join(dir, "work")
		files(t, work, "server.js", "shop/server.js", "dist/main.js", "run.sh", "tool", "artisan", "mod.py", "pkg/__main__.py", "classes/com/x/Other.class")
		files(t, dir, "srv/shop/server.js", "srv/shop/Shop.dll", "lib/python3.11/site-packages/installed/deep.py")
		if err := os.Symlink("shop", filepath.Join(work, "current")); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(work, "fifo"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(work, "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
		jar(t, filepath.Join(work, "a.jar"), "META-INF/MANIFEST.MF", "com/x/Main.class")
		jar(t, filepath.Join(work, "lib/a.jar"), "com/x/Main.class")
		jar(t, filepath.Join(work, "other.jar"), "com/x/None.class")
		if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, c := range commands {
			name, _, _ := strings.Cut(c, " ")
			_ = os.Rename(filepath.Join(dir, name), filepath.Join(dir, "bin", name)) //nolint:errcheck // moved already
		}
		libraries(t, dir)
		r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
		for _, l := range lines {
			argv := strings.Fields(l[0])
			cmd := exec.Command(filepath.Join(dir, "bin", argv[0]), argv[1:]...)
			cmd.Args = argv
			cmd.Dir = work
			if chroot {
				cmd.Path = "/bin/" + argv[0]
				cmd.Dir = "/work"
				cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
			} else if strings.Contains(l[0], " /srv/") {
				continue
			}
			cmd.Env = []string{idle + "=1"}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
				_ = cmd.Wait()         //nolint:errcheck // killed
			})
			// Reading a file that is slow on a busy host is tried again.
			got := attr(t, r, cmd.Process.Pid, catalog.AttrCommand)
			for end := time.Now().Add(10 * time.Second); got != l[1] && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				got = attr(t, r, cmd.Process.Pid, catalog.AttrCommand)
			}
			if got != l[1] {
				t.Errorf("%q (chroot %v) is %q, want %q", l[0], chroot, got, l[1])
			}
		}
	}
}

// TestJars checks that no class is found in a file that is not a jar or is truncated.
func TestJars(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.jar")
	var classes []string
	for _, c := range []string{"a", "b", "c"} {
		classes = append(classes, strings.Repeat("deep/", 4000)+c+".class")
	}
	jar(t, good, append(classes, "com/x/Main.class")...)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"cut.jar": b[:len(b)/2], "empty.jar": nil, "end.jar": []byte("PK\x05\x06"), "tail.jar": b[len(b)-22:]} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eyes := sight{source: source{proc: "/proc"}, pid: os.Getpid(), path: new(pathBuffer)}
	if !eyes.class("com.x.Main", good) {
		t.Error("a class in a jar was not found")
	}
	for _, name := range []string{"cut.jar", "empty.jar", "end.jar", "tail.jar", "absent.jar", "", "*"} {
		path := filepath.Join(dir, name)
		if name == "" {
			path = ""
		}
		if name != "*" && eyes.class("com.x.Main", path) {
			t.Errorf("a class was found in %s", name)
		}
	}
	if !eyes.class("com.x.Main", filepath.Join(dir, "cut.jar")+":"+dir+"/*") {
		t.Error("a class in a folder of jars was not found")
	}
}
