// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/compile"
)

// A lab has what the scenarios share: the binary under test, a folder that all users
// can read, and the observations so far.
type lab struct {
	headroom string
	dir      string
	keep     string
	scenario string
	observed *[]observation
	seat     *seat // if the scenario shares its window
}

// An observation is a report and its recording.
type observation struct {
	scenario  string
	recording string
	report    *report
}

// programs is the folder with the sources of servers, relative to this package.
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
		compile.Program(t, compile.Product, "./cmd/headroom", l.headroom)
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

// alone waits until no other run of the scenarios is active on this host, because
// each would report the faults of the other.
func alone(t *testing.T) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "headroom-lab.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	outside.Must(t, err)
	outside.Must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	t.Cleanup(func() { lock.Close() })
}

// sharedDir returns a temporary folder that all users can read: only the owner can
// read t.TempDir, and servers and unprivileged runs drop root.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "headroom-lab-")
	outside.Must(t, err)
	outside.Must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// need returns the path of a program, or skips the scenario if it is not installed.
// The summary at the end counts skipped scenarios.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (lab/packages.txt)", name)
	}
	return path
}
