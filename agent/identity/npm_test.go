// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/internal/testutil/private"
)

// text creates a file.
func text(t *testing.T, path, content string) {
	t.Helper()
	outside.Must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	outside.Must(t, os.WriteFile(path, []byte(content), 0o600))
}

// TestNamesOfPackages starts servers of node outside of containers: they are called by the
// package that their script is in, from whatever folder and with whatever path they are
// started, and after a restart.
func TestNamesOfPackages(t *testing.T) {
	dir := private.Folder(t, []string{"node server.js"})
	must := func(err error) { t.Helper(); outside.Must(t, err) }
	text(t, dir+"/a/package.json", `{"version": "1", "config": {"name": "`+private.Marked+`"}, "name": "shop", "token": "`+private.Marked+`"}`)
	text(t, dir+"/b/package.json", `{"name": "@acme/bank"}`)
	text(t, dir+"/c/package.json", `{"name": "`+strings.ToUpper(private.Marked)+`"}`) // capitals are against npm's rules
	text(t, dir+"/d/package.json", `{"private": true, "name": `)
	for _, file := range []string{"a/server.js", "a/api/server.js", "a/dist/esm/server.js", "a/node_modules/next/bin/next", "b/server.js", "c/server.js", "d/server.js"} {
		text(t, dir+"/"+file, "")
	}
	text(t, dir+"/a/dist/esm/package.json", `{"type": "module"}`)
	text(t, dir+"/a/node_modules/next/package.json", `{"name": "next"}`)
	must(os.MkdirAll(dir+"/a/node_modules/.bin", 0o755))
	must(os.Symlink("../next/bin/next", dir+"/a/node_modules/.bin/next"))
	must(os.Symlink("a", dir+"/current"))
	must(syscall.Mkfifo(dir+"/e.js", 0o600))
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	for _, tt := range []struct{ cwd, script, want string }{
		{"a", "server.js", "node shop/server.js"},
		{"a", dir + "/a/server.js", "node shop/server.js"},
		{"", "a/server.js", "node shop/server.js"},
		{"", "current/server.js", "node shop/server.js"},
		{"a/api", "server.js", "node shop/api/server.js"},
		{"a", "dist/esm/server.js", "node shop/esm/server.js"},
		{"a", "node_modules/.bin/next", "node shop/next"},
		{"b", "server.js", "node @acme/bank/server.js"},
		{"c", "server.js", "node server.js"},
		{"d", "server.js", "node server.js"},
		{"", "e.js", "node"},
	} {
		cmd := exec.Command(filepath.Join(dir, "node"), tt.script, private.Marked)
		cmd.Args[0] = "node"
		cmd.Dir = filepath.Join(dir, tt.cwd)
		cmd.Env = []string{idle + "=1"}
		must(cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
			_ = cmd.Wait()         //nolint:errcheck // killed
		})
		pid := cmd.Process.Pid
		got := ""
		// Reading a file that is slow on a busy host is tried again.
		outside.Eventually(t, startTime, "it has a name: "+tt.script, func() bool {
			id, ok := r.Current(pid)
			if !ok {
				return false
			}
			if got = catalog.Command(r.index, id); got != tt.want {
				r.Ended(id)
			}
			for _, value := range r.index.Info(id).Attrs {
				if strings.Contains(strings.ToLower(value), private.Marked) {
					t.Fatalf("%q in %q: %q", tt.script, tt.cwd, value)
				}
			}
			return got == tt.want
		})
	}
}

// TestClusterHasOneName checks that the processes of a cluster have the name of the first
// one: node starts the others with the full path of their script.
func TestClusterHasOneName(t *testing.T) {
	node, err := exec.LookPath("node")
	outside.Must(t, err)
	dir := t.TempDir()
	text(t, dir+"/server.js", `const c = require("cluster"); if (c.isPrimary) c.fork(); setInterval(() => {}, 1e6)`)
	cmd := exec.Command(node, "server.js")
	cmd.Dir = dir
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() //nolint:errcheck // its worker ends with it
		_ = cmd.Wait()         //nolint:errcheck // killed
	})
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	want := filepath.Base(dir) + "/server.js"
	outside.Eventually(t, startTime, "a worker has the name of the cluster", func() bool {
		worker := childOf(cmd.Process.Pid)
		id, ok := r.Current(worker)
		if worker == 0 || !ok {
			return false
		}
		if r.index.Attr(id, catalog.AttrCommand) != "node "+want {
			r.Ended(id)
			return false
		}
		return catalog.Command(r.index, id) == "node server.js"
	})
}

// childOf returns a child of a process, 0 if it has none.
func childOf(pid int) int {
	p := strconv.Itoa(pid)
	b, err := os.ReadFile("/proc/" + p + "/task/" + p + "/children")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	child, _ := strconv.Atoi(first) //nolint:errcheck // no child yet
	return child
}
