// SPDX-License-Identifier: Apache-2.0

// Package functions checks the names of functions that headroom reads from Node.js: each of
// many functions blocks the event loop of a real server, and every sample must name it.
//
// HEADROOM_NODES names the executables to test, separated by colons; the default is the
// node that is installed. make functions runs the test with each major version.
package functions

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/symbols/v8"
	"github.com/headroom-project/headroom/bpf/tick"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	// rounds is how often each function blocks the loop.
	rounds = 3
	// tries is how often a round is repeated that has no sample.
	tries = 3
	// enough is the share of samples that must have the right function: one that is
	// taken while serve prepares or ends the call has none.
	enough = 0.95
)

// wanted has the names of the innermost functions of the program, by the path that calls
// them, if they are not the path itself; "" is a callback without a name.
var wanted = map[string][]string{
	"expression": {"named"}, "throughHidden": {"#hidden"}, "property": {"get property"},
	"sortRows": {"sortRows", ""}, "render": {"render", ""}, "manyLocals": {"manyLocals", "all"},
}

var paths = strings.Fields(`ownFunction arrow expression generator asynchronous afterTimer method throughHidden classMethod
	property größe recursive viaLibrary parse serialize match hashPassword compress readFiles runChild waitForOther sortRows render buffers
	allocate evaluated manyLocals`)

func TestFunctions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("eBPF needs root")
	}
	for _, node := range interpreters(t, "HEADROOM_NODES", "node") {
		t.Run(version(t, node), func(t *testing.T) { testNode(t, node) })
	}
}

func version(t *testing.T, node string) string {
	t.Helper()
	out, err := exec.Command(node, "--version").Output()
	outside.Must(t, err)
	return strings.TrimSpace(string(out))
}

func testNode(t *testing.T, node string) {
	p, err := tick.Open(tick.Options{})
	outside.Must(t, err)
	defer p.Close()
	pid, address := serve(t, node, map[string]string{"functions.js": "functions.js", "slow.js": "node_modules/slow/index.js"})
	outside.Must(t, p.WatchV8(uint32(pid), v8Layout(t, pid)))
	outside.Must(t, p.CaptureBlocks(true))
	c := check{T: t, probe: p, pid: pid, address: address, file: "/functions.js", wanted: wanted, blocks: []string{"runChild", "waitForOther"}}
	c.all(paths)
}

func v8Layout(t testing.TB, pid int) tick.V8Layout {
	t.Helper()
	exe, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
	outside.Must(t, err)
	defer exe.Close() //nolint:errcheck // read only
	layout, err := v8.Read(exe)
	outside.Must(t, err)
	return tick.V8Layout(layout)
}

// serve starts the server in the first of these files, which are copied, until the test
// ends. The interpreter may have flags.
func serve(t testing.TB, interpreter string, files map[string]string, args ...string) (pid int, address string) {
	t.Helper()
	dir, program := t.TempDir(), ""
	words := strings.Fields(interpreter)
	for from, to := range files {
		text, err := os.ReadFile(filepath.Join("testdata", from))
		outside.Must(t, err)
		outside.Must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755))
		outside.Must(t, os.WriteFile(filepath.Join(dir, to), text, 0o644))
		if strings.HasPrefix(to, "functions.") {
			program = filepath.Join(dir, to)
		}
	}
	cmd := exec.Command(words[0], slices.Concat(words[1:], []string{program}, args)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(dir, "site-packages"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	outside.Must(t, err)
	outside.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	outside.Must(t, err)
	return cmd.Process.Pid, "http://127.0.0.1:" + strings.TrimSpace(port)
}

// before has the functions of the program that are in the stack before and after the one
// that blocks: a sample that names one of them is not wrong.
var before = []string{"serve", "", "<module>"}

// A check calls the paths of a server, whose program is in file.
type check struct {
	*testing.T
	probe         *tick.Probe
	pid           int
	address, file string
	wanted        map[string][]string
	blocks        []string // the paths that block
}

func (c *check) all(paths []string) {
	c.Helper()
	all, right := 0, 0
	for _, path := range paths {
		for i := range rounds {
			r := 0
			// On a busy host a loop can have the CPU for less than a tick of the clock.
			for try := 0; r == 0 && try < tries; try++ {
				var a int
				a, r = c.path(path)
				all, right = all+a, right+r
			}
			if r == 0 {
				c.Errorf("%s: no sample of round %d names it, %d times", path, i+1, tries)
			}
		}
	}
	c.Logf("%d of %d samples have the right function", right, all)
	if float64(right) < enough*float64(all) {
		c.Errorf("%d of %d samples have the right function, want %.0f%%", right, all, 100*enough)
	}
}

// path calls a path and counts the samples of its tick, and those with the right function.
// A wrong one fails the test.
func (c *check) path(path string) (all, right int) {
	c.Helper()
	answer, err := http.Get(c.address + "/" + url.PathEscape(path))
	outside.Must(c.T, err)
	outside.Must(c.T, answer.Body.Close())
	time.Sleep(30 * time.Millisecond) // what the server does after its answer
	want := c.wanted[path]
	if want == nil {
		want = []string{path}
	}
	outside.Must(c.T, c.probe.ReadStacks(func(s *tick.Stack) {
		if int(s.Tgid) != c.pid || s.Kind == tick.StackUnblocked || s.Kind == tick.StackBlocked && !slices.Contains(c.blocks, path) {
			return
		}
		all++
		f, ok := c.innermost(s)
		switch {
		case !ok:
		case slices.Contains(want, f.Name):
			right++
		case !slices.Contains(before, f.Name):
			c.Errorf("%s: a sample names %q: %+v", path, f.Name, s.Functions)
		}
	}))
	return all, right
}

// innermost returns the innermost function of the program.
func (c *check) innermost(s *tick.Stack) (tick.Function, bool) {
	for _, f := range s.Functions {
		if strings.HasSuffix(f.File, c.file) {
			return f, true
		}
	}
	return tick.Function{}, false
}
