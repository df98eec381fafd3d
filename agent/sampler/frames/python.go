// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/symbols/cpython"
	"github.com/headroom-project/headroom/bpf/tick"
)

// A pythonAnswer is what is known of a file that has CPython.
type pythonAnswer struct {
	cpython.File
	unknown string
}

// watchPython makes bpf/tick read the functions of a process of CPython.
func (r *reader) watchPython(p *process) {
	m, ok := r.pythonIn(p.pid)
	if !ok {
		return // it has not mapped CPython yet, it hangs, or it is gone
	}
	if strings.HasSuffix(m.Path, deleted) {
		p.unknown = "the file of its CPython was replaced since it started"
		return
	}
	a, ok := r.pythonFile(p.pid, m)
	if !ok {
		return
	}
	if a.unknown != "" {
		p.unknown = a.unknown
		return
	}
	p.refused = r.probe.WatchPython(uint32(p.pid), tick.PythonLayout(a.In(m)))
	p.watched = p.refused == nil
}

// deleted follows the path of a file that is in no folder any more.
const deleted = " (deleted)"

// pythonIn finds CPython in the memory of a process.
func (r *reader) pythonIn(pid int) (cpython.Mapping, bool) {
	type answer struct {
		cpython.Mapping
		ok bool
	}
	ask := patience.Call{Source: name, PID: pid, File: patience.Maps, Lost: "which functions block it"}
	a, ok := patience.Ask(r.host.Patience, ask, func() answer {
		fs, err := procfs.NewFS(r.host.Proc)
		if err != nil {
			return answer{}
		}
		process, err := fs.Proc(pid)
		if err != nil {
			return answer{}
		}
		maps, err := process.ProcMaps()
		if err != nil {
			return answer{}
		}
		m, ok := cpython.Find(maps)
		return answer{m, ok}
	})
	return a.Mapping, ok && a.ok
}

// pythonFile reads the file of a mapping once.
func (r *reader) pythonFile(pid int, m cpython.Mapping) (pythonAnswer, bool) {
	key := fileKey{Dev: m.Dev, Ino: m.Inode}
	if a, known := r.pythons[key]; known {
		return a, true
	}
	type read struct {
		pythonAnswer
		ok bool
	}
	path := r.host.Proc + "/" + strconv.Itoa(pid) + "/" + patience.Root + m.Path
	ask := patience.Call{Source: name, PID: pid, File: patience.Root, Lost: "which functions block it"}
	a, ok := patience.Ask(r.host.Patience, ask, func() read {
		a, ok := readPython(path)
		return read{a, ok}
	})
	if !ok || !a.ok {
		return pythonAnswer{}, false
	}
	if len(r.pythons) < maxLayouts {
		r.pythons[key] = a.pythonAnswer
	}
	return a.pythonAnswer, true
}

func readPython(path string) (pythonAnswer, bool) {
	f, err := os.Open(path)
	if err != nil {
		return pythonAnswer{}, false
	}
	defer f.Close() //nolint:errcheck // read only
	file, err := cpython.Read(f)
	if u := (*cpython.Unknown)(nil); errors.As(err, &u) {
		return pythonAnswer{unknown: u.Reason}, true
	}
	return pythonAnswer{File: file}, err == nil
}

// sites are the folders of installed packages, and library is what the folder of Python's
// own modules begins with.
//
//	/app/.venv/lib/python3.12/site-packages/requests/api.py
//	/usr/lib/python3.12/json/decoder.py
var sites = []string{"/site-packages/", "/dist-packages/"}

const library = "/lib/python3"

// pythonLibrary returns the package or module of a file of a library.
func pythonLibrary(path string) (module string, ok bool) {
	for _, site := range sites {
		if _, after, found := cutLast(path, site); found {
			return moduleOf(after), true
		}
	}
	if _, after, found := cutLast(path, library); found {
		_, after, _ = strings.Cut(after, "/")
		return moduleOf(after), true
	}
	return "", false
}

// moduleOf returns the module of a path below a folder of modules: json/decoder.py.
func moduleOf(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return strings.TrimSuffix(first, ".py")
}
