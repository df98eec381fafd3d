// SPDX-License-Identifier: Apache-2.0

// Command cut makes a test case from a recording. It keeps the host, its CPUs, disks and
// interfaces, file systems whose mount point is named, the entities of the named processes with their ancestors, those that they
// waited for, and the recorded values of all of these.
//
//	headroom record burn.hr
//	go run ./analyzers/analysistest/cut -from burn.hr -command 'node server.js' \
//	    -note 'node v20.20.2, GET /burn spins 200 ms, wrk -c2; kernel 6.18' \
//	    -to analyzers/eventloopblocked/testdata/on-cpu.txtar
//
// go test -update then writes the findings of the analyzer into the case.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

func main() {
	from := flag.String("from", "", "the recording")
	to := flag.String("to", "", "the case to write")
	commands := flag.String("command", "", "commands to keep, comma-separated substrings")
	cgroup := flag.String("cgroup", "", "keep only processes whose cgroup has this in its path")
	metrics := flag.String("metrics", "", "metrics to keep, comma-separated names; none given: all")
	note := flag.String("note", "", "what was recorded: programs, versions, load, kernel")
	flag.Parse()
	if *from == "" || *to == "" || *note == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := cut(*from, *to, *note, strings.Split(*commands, ","), *cgroup, named(*metrics)); err != nil {
		fmt.Fprintln(os.Stderr, "cut:", err)
		os.Exit(1)
	}
}

// named is a set of names; nil stands for all.
func named(list string) map[string]bool {
	if list == "" {
		return nil
	}
	set := make(map[string]bool)
	for name := range strings.SplitSeq(list, ",") {
		set[name] = true
	}
	return set
}

func cut(from, to, note string, commands []string, cgroup string, metrics map[string]bool) error {
	file, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	last, err := lastIndex(file)
	if err != nil {
		return err
	}
	wanted := chosen(last, commands, cgroup)
	var text bytes.Buffer
	if err := copyWanted(&text, file, last, wanted, metrics); err != nil {
		return err
	}
	a := &txtar.Archive{
		Comment: fmt.Appendf(nil, "cut from %s: %s\n", filepath.Base(from), note),
		Files:   []txtar.File{{Name: "recording", Data: text.Bytes()}},
	}
	return os.WriteFile(to, txtar.Format(a), 0o644)
}

// lastIndex reads a whole recording and returns its entities.
func lastIndex(file []byte) (*observe.Index, error) {
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return r.Index(), nil
		} else if err != nil {
			return nil, err
		}
	}
}

// chosen returns the entities to keep: processes whose command matches, with their
// descendants and ancestors, the host and its CPUs.
func chosen(x *observe.Index, commands []string, cgroup string) map[observe.ID]bool {
	keep := make(map[observe.ID]bool)
	for id := observe.ID(0); int(id) < x.Len(); id++ {
		switch x.Entity(id).Kind {
		case observe.Node, observe.CPU, observe.Syscall, observe.Disk, observe.NIC, observe.Upstream:
			keep[id] = true
			continue
		}
		if point := x.Attr(id, catalog.AttrMountpoint); x.Entity(id).Kind == observe.Filesystem && matches(point, commands) {
			keep[id] = true
			continue
		}
		if queue := x.Attr(id, catalog.AttrQueue); queue != "" && matches(queue, commands) {
			keep[id] = true
			continue
		}
		p, ok := x.Ancestor(id, observe.Process)
		if !ok || !matches(x.Attr(p, catalog.AttrCommand), commands) || !strings.Contains(x.Inherited(p, catalog.AttrCgroup), cgroup) {
			continue
		}
		for at, more := id, true; more; at, more = x.Parent(at) {
			keep[at] = true
		}
	}
	return keep
}

func matches(command string, commands []string) bool {
	for _, c := range commands {
		if c != "" && strings.Contains(command, c) {
			return true
		}
	}
	return false
}

func copyWanted(to io.Writer, file []byte, last *observe.Index, wanted map[observe.ID]bool, metrics map[string]bool) error {
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		return err
	}
	w, err := archive.NewPlainWriter(to, r.Header())
	if err != nil {
		return err
	}
	kept := observe.NewSnapshot(observe.NewIndex(observe.DefaultLimit))
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return err
		}
		filter(kept, s, last, wanted, metrics)
		if err := w.Write(kept); err != nil {
			return err
		}
	}
}

// filter copies the values of the wanted entities from s into to.
func filter(to, s *observe.Snapshot, last *observe.Index, wanted map[observe.ID]bool, metrics map[string]bool) {
	to.Reset()
	to.Time, to.Monotonic, to.BootTime = s.Time, s.Monotonic, s.BootTime
	to.Gaps = append(to.Gaps, s.Gaps...)
	for _, m := range s.Metrics() {
		if metrics != nil && !metrics[m.Name] {
			continue
		}
		copyMetric(to, s, m, last, wanted)
	}
	for _, st := range s.Stalls {
		if wanted[st.Loop] && (metrics == nil || metrics[catalog.LongTicks.Name]) { // the details of what this metric counts
			st.Loop = intern(to.Index, last, st.Loop)
			to.Stalls = append(to.Stalls, st)
		}
	}
	for _, e := range s.Ended {
		if wanted[e.ID] {
			to.End(intern(to.Index, last, e.ID), e.Reason)
		}
	}
}

func copyMetric(to, s *observe.Snapshot, m *observe.Metric, last *observe.Index, wanted map[observe.ID]bool) {
	for id, v := range s.Values(m) {
		if wanted[id] {
			to.Set(m, intern(to.Index, last, id), v)
		}
	}
	for id, h := range s.Hists(m) {
		if wanted[id] {
			to.Hist(m, intern(to.Index, last, id)).Add(h)
		}
	}
	for p, v := range s.Pairs(m) {
		if wanted[p.A] && wanted[p.B] {
			to.SetPair(m, intern(to.Index, last, p.A), intern(to.Index, last, p.B), v)
		}
	}
}

// intern adds an entity of from, and its ancestors, to the index to, and returns its ID.
func intern(to, from *observe.Index, id observe.ID) observe.ID {
	e := from.Entity(id)
	if known, ok := to.Find(e); ok {
		return known
	}
	if parent, ok := from.Parent(id); ok {
		intern(to, from, parent)
	}
	own := to.ID(e)
	to.Describe(own, from.Info(id))
	return own
}
