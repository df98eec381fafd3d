// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/lab/outside"
)

// A lab is what the scenarios share: the binary under test, a folder that
// anybody may read, and what was observed so far.
type lab struct {
	headroom string
	dir      string
	keep     string
	scenario string
	observed *[]observation
	seat     *seat // of a scenario that shares its window
}

// An observation is one report and the recording that it was made from.
type observation struct {
	scenario  string
	recording string
	report    *report
}

// programs is where the servers' sources are, seen from this package.
const programs = "../programs"

func newLab(t *testing.T) *lab {
	t.Helper()
	alone(t)
	l := &lab{dir: sharedDir(t), keep: os.Getenv("HEADROOM_LIVE_KEEP"), observed: new([]observation)}
	if l.keep != "" {
		outside.Must(t, os.MkdirAll(l.keep, 0o755))
	}
	l.headroom = os.Getenv("HEADROOM_BIN")
	if l.headroom == "" {
		l.headroom = filepath.Join(l.dir, "headroom")
		build(t, "github.com/headroom-project/headroom/cmd/headroom", l.headroom)
	}
	path, err := filepath.Abs(l.headroom)
	outside.Must(t, err)
	l.headroom = path
	return l
}

func (l *lab) forScenario(name string) *lab {
	own := *l
	own.scenario = name
	return &own
}

// alone waits until no other run of the scenarios is on this host: each would
// see the other's faults.
func alone(t *testing.T) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "headroom-lab.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	outside.Must(t, err)
	outside.Must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	t.Cleanup(func() { lock.Close() })
}

// sharedDir is a temporary folder that other users may read: t.TempDir is its
// owner's alone, and servers and unprivileged runs drop root.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "headroom-lab-")
	outside.Must(t, err)
	outside.Must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// build compiles a command of this module, static as it ships.
func build(t *testing.T, pkg, out string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, output)
	}
}

// need skips the scenario when a program is not installed, and returns where
// it is. The closing count shows what was skipped.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (lab/packages.txt)", name)
	}
	return path
}
