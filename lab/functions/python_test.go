// SPDX-License-Identifier: Apache-2.0

package functions

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/symbols/cpython"
	"github.com/headroom-project/headroom/bpf/tick"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// wantedOfPython has the names of the innermost functions, as in wanted. until is called by
// each, and the comprehension is a function of its own before CPython 3.12.
var wantedOfPython = map[string][]string{
	"outer": {"coroutine"}, "method": {"Service.method"}, "static": {"Service.static"}, "value": {"Service.value"}, "__init__": {"Service.__init__"},
	"__len__": {"Service.__len__"}, "closure": {"make_closure.<locals>.closure"}, "sort_rows": {"sort_rows", "sort_rows.<locals>.<lambda>"},
	"comprehension": {"comprehension", "comprehension.<locals>.<listcomp>"},
}

var pathsOfPython = strings.Fields(`own_function coroutine after_sleep outer generator method static value __init__ __len__ größe 大小 recursive
	closure via_library parse serialize match hash_password compress read_files sort_rows comprehension run_child sleep`)

// TestPython does the same with CPython. HEADROOM_PYTHONS names the interpreters; the
// default is the python3 that is installed.
func TestPython(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("eBPF needs root")
	}
	for _, python := range interpreters(t, "HEADROOM_PYTHONS", "python3") {
		t.Run(version(t, python), func(t *testing.T) { testPython(t, python) })
	}
}

func testPython(t *testing.T, python string) {
	p, err := tick.Open(tick.Options{})
	outside.Must(t, err)
	defer p.Close()
	pid, address := serve(t, python, map[string]string{"functions.py": "functions.py", "slow.py": "site-packages/slow.py"})
	outside.Must(t, p.WatchPython(uint32(pid), pythonLayout(t, pid)))
	outside.Must(t, p.CaptureBlocks(true))
	c := check{T: t, probe: p, pid: pid, address: address, file: "/functions.py", wanted: wantedOfPython, blocks: []string{"run_child", "sleep"}}
	c.all(pathsOfPython)
}

func pythonLayout(t testing.TB, pid int) tick.PythonLayout {
	t.Helper()
	process, err := procfs.NewProc(pid)
	outside.Must(t, err)
	maps, err := process.ProcMaps()
	outside.Must(t, err)
	m, ok := cpython.Find(maps)
	if !ok {
		t.Fatal("the process has not mapped CPython")
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/root%s", pid, m.Path))
	outside.Must(t, err)
	defer f.Close()
	l, err := cpython.Read(f)
	outside.Must(t, err)
	return tick.PythonLayout(l.In(m))
}
