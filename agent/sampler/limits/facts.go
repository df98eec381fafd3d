// SPDX-License-Identifier: Apache-2.0

package limits

import (
	"bytes"
	"os"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/patience"
)

const (
	// leastShare is the part of a limit, 1/4, below which what uses it is not written.
	leastShare = 4
	// fewMaps is the part of the limit of mappings below which their number is not written.
	fewMaps = 8
	// pageSize is the smallest size of a page, and of a mapping.
	pageSize = 4096
	// mapBudget limits the time for which mappings are counted in one pass; the remaining
	// processes are counted in the next one.
	mapBudget = 20 * time.Millisecond
)

// Capabilities that exempt a process from the limit of its user's processes, as user 0 is
// (copy_process in kernel/fork.c).
const (
	capSysAdmin    = 21
	capSysResource = 24
)

// facts are what changes slowly.
type facts struct {
	user      uint64 // effective
	realUser  uint64
	taskLimit float64 // RLIMIT_NPROC, 0 if it does not apply
}

// study reads what changes slowly.
func (r *reader) study(p *process) {
	proc, err := r.fs.Proc(p.pid)
	if err != nil {
		return
	}
	status, err := proc.NewStatus()
	if err != nil {
		return
	}
	p.facts = facts{realUser: status.UIDs[0], user: status.UIDs[1]}
	limit := r.settings[catalog.MapLimit]
	// Each mapping has a page.
	p.mapDue = limit > 0 && float64(status.VmSize) >= limit/leastShare*pageSize
	if !p.mapDue {
		p.maps = 0
	}
	if p.facts.realUser == 0 || status.CapEff&(1<<capSysAdmin|1<<capSysResource) != 0 {
		return
	}
	if limits, err := proc.Limits(); err == nil && limits.Processes < 1<<31 { // more is "unlimited"
		p.facts.taskLimit = float64(limits.Processes)
	}
}

// A user is what all processes of a user have.
type user struct {
	tasks, instances, watches int
}

// users adds up the processes of each user. A process counts for the real user as a task,
// and for the effective one as a holder of inotify instances.
func (r *reader) users() map[uint64]user {
	users := make(map[uint64]user)
	for _, p := range r.procs {
		u := users[p.facts.realUser]
		u.tasks += p.tasks
		users[p.facts.realUser] = u
		if len(p.inotify) > 0 {
			u := users[p.facts.user]
			u.instances, u.watches = u.instances+len(p.inotify), u.watches+p.watches()
			users[p.facts.user] = u
		}
	}
	return users
}

// countMaps counts the memory mappings of a process that can have many. Reading them
// takes the lock of its memory, a page of text at a time.
func (r *reader) countMaps(p *process) {
	if !p.mapDue || r.mapping >= mapBudget {
		return
	}
	p.mapDue = false
	began := time.Now()
	path := r.path(p.pid, patience.Maps)
	c := patience.Call{Source: name, Lost: "how many memory mappings it has", PID: p.pid, File: patience.Maps}
	n, ok := patience.Ask(r.patience, c, func() int { return lines(path) })
	r.mapping += time.Since(began)
	limit := r.settings[catalog.MapLimit]
	if p.maps = 0; ok && float64(n) >= limit/fewMaps {
		p.maps = n
		p.mapDue = true // at each pass
	}
}

// lines returns the number of lines of a file.
func lines(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // read only
	n, buf := 0, make([]byte, 64<<10)
	for {
		got, err := f.Read(buf)
		n += bytes.Count(buf[:got], []byte("\n"))
		if err != nil {
			return n
		}
	}
}
