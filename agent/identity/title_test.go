// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// TestTitlesOfNode starts three node servers, two of which set their titles: on a host
// without containers all three had the name node.
func TestTitlesOfNode(t *testing.T) {
	node, err := exec.LookPath("node")
	outside.Must(t, err)
	dir := t.TempDir()
	for _, d := range []string{"node_modules/http-server", "shop"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"node_modules/http-server/package.json": `{"name": "http-server"}`,
		"start.js":                              "process.title = process.env.TITLE || process.title; setInterval(() => {}, 1e6)",
		"shop/server.js":                        "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	for title, want := range map[string]string{
		"":                                "node start.js",
		"http-server":                     "node http-server",
		"hunter2":                         "node",
		"node " + dir + "/shop/server.js": "node shop/server.js",
	} {
		// The title is written over the arguments, which must be long enough.
		cmd := exec.Command(node, "start.js", "a long argument that is not shown, so that the title has enough room in argv, whatever the path of the folder is")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TITLE="+title)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() //nolint:errcheck // may have ended
			_ = cmd.Wait()         //nolint:errcheck // killed
		})
		outside.Eventually(t, startTime, "it is called "+want, func() bool {
			f, err := r.source.facts(cmd.Process.Pid, look{alone: r.alone})
			return err == nil && f.command == want && (title == "" || f.comm != "node")
		})
		id, ok := r.Current(cmd.Process.Pid)
		if got := r.index.Attr(id, catalog.AttrCommand); !ok || got != want {
			t.Errorf("command with the title %q = %q, want %q", title, got, want)
		}
	}
}
