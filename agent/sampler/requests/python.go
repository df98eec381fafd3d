// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"path"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/patience"
)

// A span is a range of addresses.
type span struct{ from, to uint64 }

func (s span) has(at uint64) bool { return at >= s.from && at < s.to }

// pythonRuntime returns the addresses of the static variables of CPython: _PyRuntime, which
// has the lock of the main interpreter (Python/ceval_gil.c), is one of them. The locks that
// a program makes are not: PyThread_allocate_lock takes them from the heap.
func (d procDir) pythonRuntime(p *patience.Patience, pid int) span {
	ask := patience.Call{Source: "requests", Lost: "whether its threads wait for the lock of the interpreter", PID: pid, File: "maps"}
	found, _ := patience.Ask(p, ask, func() span {
		fs, err := procfs.NewFS(string(d))
		if err != nil {
			return span{}
		}
		process, err := fs.Proc(pid)
		if err != nil {
			return span{}
		}
		maps, err := process.ProcMaps()
		if err != nil {
			return span{}
		}
		return variables(maps)
	})
	return found
}

// variables returns the writable part of the library of CPython, or of its executable.
//
//	7f1c5e54e000-7f1c5e6b1000 rw-p 0054e000 fe:00 1234  /usr/lib/libpython3.11.so.1.0
//	7f1c5e6b1000-7f1c5e6f4000 rw-p 00000000 00:00 0
func variables(maps []*procfs.ProcMap) span {
	for _, prefix := range []string{"libpython", "python"} {
		i := slices.IndexFunc(maps, func(m *procfs.ProcMap) bool {
			return m.Perms.Write && strings.HasPrefix(path.Base(m.Pathname), prefix)
		})
		if i < 0 {
			continue
		}
		s := span{uint64(maps[i].StartAddr), uint64(maps[i].EndAddr)}
		for _, m := range maps[i+1:] {
			if m.Pathname != maps[i].Pathname && m.Pathname != "" || uint64(m.StartAddr) != s.to || !m.Perms.Write {
				break
			}
			s.to = uint64(m.EndAddr)
		}
		return s
	}
	return span{}
}
