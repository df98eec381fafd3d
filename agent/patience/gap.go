// SPDX-License-Identifier: Apache-2.0

package patience

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
)

// maxGaps limits the calls that get a Gap of their own.
const maxGaps = 8

// maxShown limits the length of a name in a Gap, in bytes.
const maxShown = 120

// Gaps returns the calls that hang now, and how to fix each. The text for a call stays
// the same as long as the call hangs.
func (p *Patience) Gaps() []observe.Gap {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
	var gaps []observe.Gap
	for _, c := range p.hanging {
		gaps = append(gaps, c.gap())
	}
	for _, c := range p.unasked {
		gaps = append(gaps, c.unaskedGap())
	}
	if reason := p.unlisted(len(gaps)); reason != "" {
		gaps = gaps[:min(len(gaps), maxGaps)]
		gaps = append(gaps, observe.Gap{Source: gaps[0].Source, Reason: reason, Cure: "fix those that are listed"})
	}
	return gaps
}

// unlisted describes the calls that n gaps do not name: those beyond the listed ones,
// and those that are not made.
func (p *Patience) unlisted(n int) string {
	switch {
	case p.alike(true) >= p.most, p.alike(false) >= p.most:
		return fmt.Sprintf("%d calls hang, and no more are made: other processes are not read in the same way", p.most)
	case n > maxGaps:
		return fmt.Sprintf("more than %d calls hang: the others are not listed", maxGaps)
	}
	return ""
}

// Hanging returns the number of calls that hang now.
func (p *Patience) Hanging() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.hanging)
}

func (c *call) gap() observe.Gap {
	g := observe.Gap{Source: c.Source}
	switch {
	case !c.leaves():
		g.Reason = fmt.Sprintf("reading /proc/%d/%s hangs: the memory of the process is locked. Not known of %s: %s", c.PID, c.File, c, c.Lost)
		g.Cure = fmt.Sprintf("find out what its threads wait for: head /proc/%d/task/*/wchan", c.PID)
	case c.blamesDevice():
		g.Reason = fmt.Sprintf("%s does not answer: opening /proc/%d/%s hangs. Not known of %s, and of others on this file system: %s", c.at, c.PID, c.File, c, c.Lost)
		g.Cure = c.at.cure()
	default:
		g.Reason = fmt.Sprintf("a file system below /proc/%d/%s does not answer. Not known of %s: %s", c.PID, c.File, c, c.Lost)
		g.Cure = fmt.Sprintf("find the mount that hangs in /proc/%d/mountinfo, and restart its server or unmount it", c.PID)
	}
	return g
}

func (c *call) unaskedGap() observe.Gap {
	return observe.Gap{
		Source: c.Source,
		Reason: fmt.Sprintf("%s does not answer: requests to it are waiting, so no file on it is opened. Not known of %s, and of others on this file system: %s", c.at, c, c.Lost),
		Cure:   c.at.cure(),
	}
}

// String returns the name of the process.
func (c *call) String() string { return fmt.Sprintf("process %s (pid %d)", shown(c.name), c.PID) }

// String returns the name of the mount.
func (m mount) String() string {
	switch {
	case m.dev == 0:
		return "a file system"
	case m.kind == "":
		return fmt.Sprintf("the file system with device number %d:%d", unix.Major(m.dev), unix.Minor(m.dev))
	}
	return fmt.Sprintf("the %s file system at %s", shown(m.kind), shown(m.point))
}

// cure returns how to make a mount answer or fail.
func (m mount) cure() string {
	switch {
	case m.fuse():
		return fmt.Sprintf("restart its file server, or end its connection: echo 1 > %s/%s/abort", connections, connection(m.dev))
	case m.remote():
		return fmt.Sprintf("bring its server back, or unmount it: umount -f -l %s", shown(m.point))
	}
	return "look for errors of its device: dmesg | tail -50"
}

// shown returns an untrusted name in a form that is safe to show.
func shown(name string) string {
	quoted := fmt.Sprintf("%q", name[:min(len(name), maxShown)])
	if plain := strings.Trim(quoted, `"`); plain == name && !strings.ContainsAny(name, " \\") {
		return name
	}
	return quoted
}

// name returns the kernel's name of a process; reading it does not block.
func (p *Patience) name(pid int) string {
	b, err := os.ReadFile(p.path(pid, "comm"))
	if err != nil {
		return "?"
	}
	return observe.ProgramName(strings.TrimSuffix(string(b), "\n"))
}
