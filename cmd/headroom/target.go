// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A target narrows a diagnosis. What is set must all hold; the zero target is
// the whole host.
type target struct {
	pid                     int
	command, container, pod string
}

func (t *target) flags(cmd *cobra.Command) {
	cmd.Flags().Var((*pidValue)(&t.pid), "pid", "only this process")
	cmd.Flags().StringVar(&t.command, "command", "", "only processes whose command or executable contains this")
	cmd.Flags().StringVar(&t.container, "container", "", "only this container: the beginning of its id, or its name")
	cmd.Flags().StringVar(&t.pod, "pod", "", "only this pod: its name or uid")
}

// A pidValue is a flag that names a process. 0 would be the whole host, which is
// not what a script with an empty variable asks for.
type pidValue int

// Set implements pflag.Value.
func (p *pidValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return errors.New("a pid is a positive number")
	}
	*p = pidValue(n)
	return nil
}

// String implements pflag.Value: no pid has no text.
func (p *pidValue) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.Itoa(int(*p))
}

// Type implements pflag.Value.
func (p *pidValue) Type() string { return "int" }

func (t target) everything() bool { return t == target{} }

// String says what was asked for.
func (t target) String() string {
	var parts []string
	if t.pid != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", t.pid))
	}
	if t.command != "" {
		parts = append(parts, fmt.Sprintf("command %q", t.command))
	}
	if t.container != "" {
		parts = append(parts, "container "+t.container)
	}
	if t.pod != "" {
		parts = append(parts, "pod "+t.pod)
	}
	return strings.Join(parts, " and ")
}

// members are the processes, and of containers and pods the cgroups too, that
// the target names.
func (t target) members(x *observe.Index) map[observe.ID]bool {
	members := make(map[observe.ID]bool)
	for id := range observe.ID(x.Len()) {
		if t.matches(x, id) {
			members[id] = true
		}
	}
	return members
}

func (t target) matches(x *observe.Index, id observe.ID) bool {
	switch x.Entity(id).Kind {
	case observe.Process:
		return t.matchesProcess(x, id) && t.matchesPlace(x, id)
	case observe.Cgroup:
		return t.pid == 0 && t.command == "" && t.matchesPlace(x, id)
	default:
		return false
	}
}

func (t target) matchesProcess(x *observe.Index, id observe.ID) bool {
	if t.pid != 0 && x.Attr(id, catalog.AttrPID) != strconv.Itoa(t.pid) {
		return false
	}
	return t.command == "" || strings.Contains(x.Attr(id, catalog.AttrCommand), t.command) ||
		strings.Contains(x.Attr(id, catalog.AttrExecutable), t.command)
}

func (t target) matchesPlace(x *observe.Index, id observe.ID) bool {
	if t.container != "" {
		containerID, ok := nearest(x, id, catalog.AttrContainerID)
		name, named := nearest(x, id, catalog.AttrContainerName)
		if !(ok && strings.HasPrefix(containerID, t.container)) && !(named && name == t.container) {
			return false
		}
	}
	if t.pod != "" {
		uid, _ := nearest(x, id, catalog.AttrPodUID)
		name, _ := nearest(x, id, catalog.AttrPodName)
		return uid == t.pod || name == t.pod
	}
	return true
}

// nearest returns an attribute of id or of what it is in.
func nearest(x *observe.Index, id observe.ID, key string) (string, bool) {
	for ok := true; ok; id, ok = x.Parent(id) {
		if v := x.Attr(id, key); v != "" {
			return v, true
		}
	}
	return "", false
}

// concerns keeps findings about a member, about what is in it, about what it
// is in, and about the host and its cores, which serve everybody.
func concerns(x *observe.Index, members map[observe.ID]bool) func(observe.ID) bool {
	return func(id observe.ID) bool {
		if k := x.Entity(id).Kind; k == observe.Node || k == observe.CPU {
			return true
		}
		for m := range members {
			if x.Within(id, m) || x.Within(m, id) {
				return true
			}
		}
		return false
	}
}

// endings are gaps for the members that went away while they were watched.
func endings(w *observe.Window, members map[observe.ID]bool) []observe.Gap {
	var gaps []observe.Gap
	for _, e := range w.Ended {
		if !members[e.ID] || w.Index.Entity(e.ID).Kind != observe.Process {
			continue
		}
		command := w.Index.Attr(e.ID, catalog.AttrCommand)
		gaps = append(gaps, observe.Gap{
			Source: "process",
			Reason: fmt.Sprintf("%s (pid %s) ended while it was observed: only the time before is known", command, w.Index.Attr(e.ID, catalog.AttrPID)),
			Cure:   "diagnose what replaced it",
		})
	}
	return gaps
}

// notFound says that nothing matches, and what would.
func (t target) notFound(x *observe.Index) error {
	if t.container != "" && !anyHas(x, catalog.AttrContainerName) {
		return fmt.Errorf("nothing matches %s: names of containers are not known here, give the beginning of the container's id", t)
	}
	if t.pod != "" && !anyHas(x, catalog.AttrPodName) {
		return fmt.Errorf("nothing matches %s: names of pods are not known here, give the pod's uid (kubectl get pod NAME -o jsonpath={.metadata.uid})", t)
	}
	return fmt.Errorf("nothing matches %s: no such process was seen", t)
}

func anyHas(x *observe.Index, key string) bool {
	for id := range observe.ID(x.Len()) {
		if x.Attr(id, key) != "" {
			return true
		}
	}
	return false
}

// exists checks a pid before anything is opened for it.
func (t target) exists() error {
	if t.pid == 0 {
		return nil
	}
	status, err := os.ReadFile(fmt.Sprintf("%s/%d/status", procRoot, t.pid))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no process has pid %d: it ended, or the pid is of another pid namespace", t.pid)
	}
	if err != nil {
		return fmt.Errorf("looking for pid %d: %w", t.pid, err)
	}
	if group := statusField(status, "Tgid"); group != strconv.Itoa(t.pid) {
		return fmt.Errorf("%d is a thread of process %s: use --pid %s", t.pid, group, group)
	}
	return nil
}

// statusField returns a value of /proc/PID/status.
//
//	Tgid:	4242
func statusField(status []byte, key string) string {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// appears fails at the second snapshot if nothing has matched by then, rather
// than after the whole observation.
func (t target) appears() func(*observe.Snapshot) error {
	seen := 0
	return func(s *observe.Snapshot) error {
		seen++
		if seen == 2 && !t.everything() && len(t.members(s.Index)) == 0 {
			return t.notFound(s.Index)
		}
		return nil
	}
}
