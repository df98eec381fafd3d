// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// Exists checks a pid before anything is opened: a process that has ended and a
// kernel thread cannot be diagnosed.
func (t Target) Exists() error {
	if t.PID == 0 {
		return nil
	}
	proc, err := procfs.NewFS(host.ProcRoot)
	if err != nil {
		return fmt.Errorf("looking for pid %d: %w", t.PID, err)
	}
	process, err := proc.Proc(t.PID)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no process has pid %d: it ended, or the pid is of another pid namespace", t.PID)
	}
	if err != nil {
		return fmt.Errorf("looking for pid %d: %w", t.PID, err)
	}
	status, err := process.NewStatus()
	if err != nil {
		return fmt.Errorf("looking for pid %d: %w", t.PID, err)
	}
	if status.TGID != t.PID {
		return fmt.Errorf("%d is a thread of process %d: use --pid %d", t.PID, status.TGID, status.TGID)
	}
	stat, err := process.Stat()
	if err != nil {
		return fmt.Errorf("looking for pid %d: %w", t.PID, err)
	}
	return judgeable(&stat)
}

// kernelThread is PF_KTHREAD (include/linux/sched.h).
const kernelThread = 0x00200000

// judgeable rejects kernel threads, and zombies. A process whose main thread ended
// is listed as a zombie, but still runs.
func judgeable(s *procfs.ProcStat) error {
	switch {
	case s.Flags&kernelThread != 0:
		return fmt.Errorf("pid %d (%s) is a kernel thread: it serves no requests and has no limits to judge; diagnose the whole host, which names kernel threads that take the CPU", s.PID, s.Comm)
	case s.State == "X", s.State == "Z" && s.NumThreads <= 1:
		return fmt.Errorf("pid %d (%s) has ended and is a zombie until its parent, pid %d, reaps it: nothing of it can be observed; diagnose what replaced it, or the parent", s.PID, observe.ProgramName(s.Comm), s.PPID)
	}
	return nil
}

// keepFirst drops processes that got a pid after its first process: the target is
// the first one.
func keepFirst(x *observe.Index, members map[observe.ID]bool) {
	started := func(id observe.ID) uint64 {
		_, start, _ := strings.Cut(x.Entity(id).ID, ":")
		ticks, _ := strconv.ParseUint(start, 10, 64) // written by identity
		return ticks
	}
	if len(members) == 0 {
		return
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(members)), func(a, b observe.ID) int {
		return cmp.Compare(started(a), started(b))
	})
	maps.DeleteFunc(members, func(id observe.ID, _ bool) bool { return id != first })
}

// Present reports which members ended during the observation. If none lived until
// the end, or none ran, the absence of findings proves nothing.
func (t Target) Present(r *analysis.Result, members map[observe.ID]bool) {
	w := r.Window
	if !w.Has(catalog.ProcessThreads) {
		return // processes were not observed, as the gap of their source reports
	}
	ended := make(map[observe.ID]bool)
	for _, e := range w.Ended {
		if members[e.ID] && w.Index.Entity(e.ID).Kind == observe.Process {
			ended[e.ID] = true
		}
	}
	lives := false
	for id := range members {
		_, seen := w.Last(catalog.ProcessThreads, id)
		lives = lives || seen && !ended[id]
	}
	switch {
	case len(ended) == 0 && !lives:
		r.Doubt(observe.Gap{Source: observe.GapTarget, Reason: fmt.Sprintf("no running process of %s was seen", t),
			Cure: "start it, or diagnose what replaced it"})
	case !lives:
		r.Doubt(ending(observe.GapTarget, w, ended))
	case len(ended) > 0:
		r.Gaps = append(r.Gaps, ending("process", w, ended))
	}
}

// maxEnded is the maximum number of ended processes that are named.
const maxEnded = 3

// ending returns the gap about ended processes.
func ending(source string, w *observe.Window, ended map[observe.ID]bool) observe.Gap {
	var names []string
	for _, id := range slices.Sorted(maps.Keys(ended)) {
		names = append(names, fmt.Sprintf("%s (pid %s)", catalog.Command(w.Index, id), w.Index.Attr(id, catalog.AttrPID)))
	}
	who := strings.Join(names[:min(maxEnded, len(names))], ", ")
	if more := len(names) - maxEnded; more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	it := "it was"
	if len(names) > 1 {
		it = "they were"
	}
	return observe.Gap{Source: source, Reason: fmt.Sprintf("%s ended while %s observed: only the time before is known", who, it),
		Cure: "diagnose what replaced it"}
}
