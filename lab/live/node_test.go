// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/npm"
)

// installed is the folder with express after it was installed. installing prevents
// scenarios that share a window from installing it twice.
var (
	installing sync.Mutex
	installed  string
)

// nodeModules installs express once, with npm, outside the repository.
func nodeModules(t *testing.T) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if installed != "" {
		return installed
	}
	need(t, "npm")
	modules, err := npm.Install(programs, "headroom-lab", "--ignore-scripts")
	outside.Must(t, err)
	installed = modules
	return installed
}

// copyFile copies a file into a folder.
func copyFile(t *testing.T, from, dir string) {
	t.Helper()
	text, err := os.ReadFile(from)
	outside.Must(t, err)
	outside.Must(t, os.WriteFile(filepath.Join(dir, filepath.Base(from)), text, 0o644))
}

// nodeApp returns a folder with server.js and its node_modules, as deployed.
func (l *lab) nodeApp(t *testing.T) string {
	t.Helper()
	need(t, "node")
	modules := nodeModules(t)
	app := filepath.Join(l.dir, l.scenario, "app")
	outside.Must(t, os.MkdirAll(app, 0o755))
	copyFile(t, programs+"/server.js", app)
	link := filepath.Join(app, "node_modules")
	os.Remove(link)
	outside.Must(t, os.Symlink(modules, link))
	return app
}

// node starts `node server.js`, optionally with a wrapper such as taskset.
func (l *lab) node(t *testing.T, env []string, wrapper ...string) *process {
	t.Helper()
	app := l.nodeApp(t)
	args := append(wrapper[:len(wrapper):len(wrapper)], need(t, "node"), "server.js")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = app
	cmd.Env = append(os.Environ(), env...)
	return startServer(t, cmd)
}
