// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/symbols/v8"
	"github.com/headroom-project/headroom/bpf/tick"
)

// A process is one whose functions are, or cannot be, read.
type process struct {
	pid     int
	started time.Duration // since boot
	round   int
	watched bool
	loops   bool   // a thread of it runs an event loop
	refused error  // by the kernel
	unknown string // why its functions cannot be read
	lines   map[place]int
	runtime *runtime
	// samples counts the stacks of loops, busy or in long ticks, and unreadable those of them
	// that could not be read.
	samples, unreadable int
}

// A runtime is one whose functions can be read.
type runtime struct {
	watch   func(*reader, *process)
	profile string // what to do if they cannot
}

var runtimes = map[string]*runtime{
	"node":   {(*reader).watchNode, "take a profile of it instead, for example with perf or node --cpu-prof"},
	"python": {(*reader).watchPython, "take a profile of it instead, for example with py-spy"},
}

// process returns the process of a loop or a thread if its functions can be read, and
// watches it the first time.
func (r *reader) process(of observe.ID) *process {
	x := r.host.Index
	id, ok := x.Ancestor(of, observe.Process)
	if !ok {
		return nil
	}
	runs := runtimes[x.Attr(id, catalog.AttrRuntime)]
	if runs == nil {
		return nil
	}
	p := r.processes[id]
	if p == nil {
		pid, ticks, _ := strings.Cut(x.Entity(id).ID, ":")
		n, err := strconv.Atoi(pid)
		start, bad := strconv.ParseUint(ticks, 10, 63)
		if err != nil || bad != nil {
			return nil
		}
		p = &process{pid: n, started: time.Duration(start) * clockTick, lines: make(map[place]int), runtime: runs}
		r.processes[id] = p
	}
	p.round = r.round
	if !p.watched && p.unknown == "" && p.refused == nil {
		runs.watch(r, p)
	}
	return p
}

// clockTick is the unit of start times in /proc: USER_HZ is 100 wherever Go runs.
const clockTick = 10 * time.Millisecond

// watchNode makes bpf/tick read the functions of a process of Node.js.
func (r *reader) watchNode(p *process) {
	layout, ok := r.layouts.of(r.host, p.pid)
	if !ok {
		return // it hangs, or the process is gone
	}
	if layout.unknown != "" {
		p.unknown = layout.unknown
		return
	}
	p.refused = r.probe.WatchV8(uint32(p.pid), tick.V8Layout(layout.Layout))
	p.watched = p.refused == nil
}

// maxLayouts is the maximum number of executables remembered.
const maxLayouts = 200

type fileKey = patience.FileID

// layouts remembers the layout of each executable.
type layouts struct{ known map[fileKey]answer }

// An answer is a layout, or why it is not known.
type answer struct {
	v8.Layout
	unknown string
}

// of returns the layout of a process's executable. ok is false if it cannot be read now.
func (l *layouts) of(h *sampler.Host, pid int) (answer, bool) {
	exe := patience.Call{Source: name, PID: pid, File: patience.Exe, Lost: "which functions block it"}
	key, ok := h.Patience.File(exe)
	if !ok || key == (fileKey{}) {
		return answer{}, false
	}
	if a, known := l.known[key]; known {
		return a, true
	}
	type read struct {
		answer
		ok bool
	}
	path := h.Proc + "/" + strconv.Itoa(pid) + "/" + patience.Exe
	a, ok := patience.Ask(h.Patience, exe, func() read {
		a, ok := readLayout(path)
		return read{a, ok}
	})
	if !ok || !a.ok {
		return answer{}, false
	}
	if len(l.known) < maxLayouts {
		l.known[key] = a.answer
	}
	return a.answer, true
}

func readLayout(path string) (answer, bool) {
	f, err := os.Open(path)
	if err != nil {
		return answer{}, false
	}
	defer f.Close() //nolint:errcheck // read only
	layout, err := v8.Read(f)
	if u := (*v8.Unknown)(nil); errors.As(err, &u) {
		return answer{unknown: u.Reason}, true
	}
	return answer{Layout: layout}, err == nil
}
