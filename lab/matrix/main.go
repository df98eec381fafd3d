// SPDX-License-Identifier: Apache-2.0

// Command matrix measures the accuracy of headroom with programs that it was not
// tuned for. Each cell of the matrix is a runtime in a state: it starts the server,
// causes the fault, runs headroom diagnose for ten seconds to observe the whole
// host, and compares the report with the right answer. Healthy programs are
// measured in the same way, at 30 % and 60 % of their capacity; every warning is
// false there.
//
// The results of all runs are kept in results.json, from which docs/accuracy.md is
// generated. A cell that could not run is listed with the reason.
//
// It needs root, cgroups and the packages of packages.txt. All traffic is on loopback.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/lab/npm"
)

type config struct {
	headroom, root, keep, mode string
	only, states               []string
}

func main() {
	var c config
	list := func(to *[]string) func(string) error {
		return func(text string) error {
			*to = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
			return nil
		}
	}
	flag.StringVar(&c.headroom, "headroom", "bin/headroom", "the program to measure")
	flag.StringVar(&c.root, "root", ".", "folder of the repository")
	flag.StringVar(&c.keep, "keep", "", "folder for the recordings of the cells")
	flag.StringVar(&c.mode, "mode", "matrix", "what to run: matrix, healthy, builds, check to test that the programs start, or page to write docs/accuracy.md from the saved results")
	flag.Func("only", "runtimes or programs, comma-separated (default all)", list(&c.only))
	flag.Func("states", "states, comma-separated (default all)", list(&c.states))
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) error {
	unlock, err := alone() // before the saved results are read
	if err != nil {
		return err
	}
	defer unlock()
	saved, err := load(c.root)
	if err != nil {
		return err
	}
	if c.mode != "page" {
		if err := measure(ctx, c, saved); err != nil || c.mode == "check" {
			return err
		}
	}
	return saved.writePage(c.root)
}

// measure runs cells and saves the result of each.
func measure(ctx context.Context, c config, saved *results) error {
	l, err := newLab(c)
	if err != nil {
		return err
	}
	defer os.RemoveAll(l.dir)
	if c.mode == "check" {
		return l.check(ctx, c.only)
	}
	jobs, err := l.jobs(c)
	if err != nil {
		return err
	}
	saved.Version = versionOf(l.headroom)
	for i, j := range jobs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		cell := j.run(ctx)
		if ctx.Err() != nil {
			return ctx.Err() // the cell was interrupted
		}
		fmt.Printf("%3d/%d %-28s %-13s %s\n", i+1, len(jobs), j.name, cell.Outcome, line(cell))
		if err := saved.add(cell); err != nil {
			return err
		}
	}
	return nil
}

// A job is a cell to run.
type job struct {
	name string
	run  func(context.Context) cell
}

func (l *lab) jobs(c config) ([]job, error) {
	var jobs []job
	switch c.mode {
	case "matrix":
		rows, err := find(runtimes, c.only)
		if err != nil {
			return nil, err
		}
		columns, err := findStates(c.states)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			for _, s := range columns {
				jobs = append(jobs, job{r.name + "/" + s.name, func(ctx context.Context) cell { return l.run(ctx, &r, &s) }})
			}
		}
		return jobs, nil
	case "healthy":
		return l.healthyJobs(c.only)
	case "builds":
		return l.buildJobs(c.only)
	}
	return nil, fmt.Errorf("there is no mode %q; for example, -mode healthy", c.mode)
}

// line returns the progress message about a cell.
func line(c cell) string {
	text := c.Why
	if len(c.False) > 0 && c.Outcome != falseAlarm {
		text += " FALSE: " + strings.Join(c.False, "; ")
	}
	if c.Share >= 0.01 {
		text += fmt.Sprintf(" [%.0f%% steal]", 100*c.Share)
	}
	if c.Others >= othersMatter {
		text += fmt.Sprintf(" [%.1f cores of other programs]", c.Others)
	}
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", " ")
}

func newLab(c config) (*lab, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("the matrix needs root, for cgroups and eBPF: run it with sudo")
	}
	root, err := filepath.Abs(c.root)
	if err != nil {
		return nil, err
	}
	headroom, err := filepath.Abs(c.headroom)
	if err != nil {
		return nil, err
	}
	modules, err := npm.Install(filepath.Join(root, "lab/matrix/npm"), "headroom-matrix")
	if err != nil {
		return nil, fmt.Errorf("installing the npm packages of the matrix: %w", err)
	}
	dir, err := os.MkdirTemp("", "headroom-matrix-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // servers may drop root
		return nil, err
	}
	if c.keep != "" {
		if err := os.MkdirAll(c.keep, 0o755); err != nil {
			return nil, err
		}
	}
	return &lab{headroom: headroom, programs: filepath.Join(root, "lab/programs/matrix"), modules: modules, dir: dir, keep: c.keep}, nil
}

// alone waits until no other run of the lab is active on this host, because each
// would report the faults of the other. It kills processes left by a killed run.
func alone() (unlock func(), err error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "headroom-lab.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("waiting for other runs of the lab: %w", err)
	}
	left, err := cgroups.New(groupPrefix, nil, cgroups.Unified)
	if err == nil {
		err = left.Kill()
	}
	return func() { left.Delete(); lock.Close() }, err
}
