// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/contract"
)

// observeFor is how long headroom observes. laterAfter is the delay of a fault that
// starts during the observation.
const (
	observeFor = 10 * time.Second
	laterAfter = 4 * time.Second
	// overhead is how much longer than its window the command may take.
	overhead = 20 * time.Second
)

// A cell is the result of a runtime in a state.
type cell struct {
	Name   string    `json:"name"` // RUNTIME/STATE
	Want   string    `json:"want"`
	Fault  bool      `json:"fault"` // a finding is expected
	At     time.Time `json:"at"`
	Share  float64   `json:"steal"`  // share of the CPU time that the hypervisor took
	Others float64   `json:"others"` // cores that other programs used on the host
	verdict
	Said []string `json:"said,omitempty"` // all findings and gaps, if the result is not right
}

// A lab has the paths that all cells use.
type lab struct {
	headroom, programs, modules string
	dir                         string // temporary
	keep                        string // folder for recordings, or ""
}

// attempts is how often a cell is tried if its fault does not occur.
const attempts = 2

// run runs a state for a runtime and judges the report.
func (l *lab) run(ctx context.Context, r *runtime, s *state) cell {
	want := s.loop
	if r.pool {
		want = s.pool
	}
	if slices.Contains(want.causes, "on-cpu") {
		want.verbs = slices.Concat(want.verbs, r.onCPU)
	}
	c := cell{Name: r.name + "/" + s.name, Want: want.String(), Fault: want.id != "", At: time.Now().UTC().Truncate(time.Second)}
	if lack := lacks(r.needs); lack != "" {
		c.Outcome, c.Why = notRun, lack
		return c
	}
	for range attempts {
		report, g, err := l.play(ctx, r, s)
		if err != nil {
			c.verdict = verdict{Outcome: notRun, Why: err.Error()}
			continue
		}
		c.Share, c.Others = report.stolen, report.others
		c.verdict = judge(report.Report, want, g.srv.is, g.ours, report.use)
		c.Said = nil
		if c.Outcome != right || len(c.False) > 0 {
			c.Said = said(report.Report)
		}
		return c
	}
	return c
}

func (a answer) String() string {
	if a.id == "" {
		if len(a.also) > 0 {
			return "at most what the service suffers"
		}
		return "no warning"
	}
	text := a.id
	for i, cause := range a.causes {
		text += map[bool]string{true: "/", false: "|"}[i == 0] + cause
	}
	return text
}

// ours reports whether a subject is the server or one of its neighbours.
func (g *stage) ours(s contract.Subject) bool {
	return g.srv.is(s) || g.others != nil && !g.suspects && g.others.is(s)
}

// play starts the server, causes the fault, and observes.
func (l *lab) play(ctx context.Context, r *runtime, s *state) (_ *observation, _ *stage, err error) {
	ctx, cancel := context.WithCancel(ctx)
	dir, err := l.siteDir(r)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	g := &stage{ctx: ctx, pool: r.pool}
	defer func() { err = errors.Join(err, g.end(cancel)) }()
	if g.srv, err = l.serve(ctx, r, s, dir); err != nil {
		return nil, nil, err
	}
	g.light = g.load(lightRate, g.srv.light)
	if err := g.warm(g.light, 5); err != nil {
		return nil, nil, err
	}
	if err := s.play(g); err != nil {
		return nil, nil, err
	}
	report, err := l.observe(ctx, r.name+"-"+s.name, g)
	if err != nil {
		return nil, nil, err
	}
	if err := s.holds(g); err != nil {
		return nil, nil, fmt.Errorf("the fault did not occur: %w", err)
	}
	return report, g, nil
}

// siteDir makes the folder of a site. Workers that drop root can read it.
func (l *lab) siteDir(r *runtime) (string, error) {
	dir, err := os.MkdirTemp(l.dir, r.name+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

func (l *lab) serve(ctx context.Context, r *runtime, s *state, dir string) (*server, error) {
	port, err := outside.Port()
	if err != nil {
		return nil, err
	}
	makeGroup := newGroup
	if s.limited {
		makeGroup = newPod
	}
	group, err := makeGroup(r.name)
	if err != nil {
		return nil, err
	}
	var wrapper []string
	if s.pinned {
		wrapper = onCore()
	}
	return start(ctx, r, site{dir: dir, programs: l.programs, modules: l.modules, port: port}, group, wrapper)
}

// end ends everything that the stage started. It kills the servers before it
// stops the loads, because a load may be waiting for an answer.
func (g *stage) end(cancel context.CancelFunc) error {
	cancel()
	var err error
	for _, srv := range []*server{g.others, g.srv} {
		if srv != nil {
			err = errors.Join(err, srv.end())
		}
	}
	for _, l := range g.loads {
		l.Stop()
	}
	return err
}

// An observation is a report, and the CPU usage of the host during it.
type observation struct {
	*contract.Report
	use
}

// observe runs headroom to observe the whole host.
func (l *lab) observe(ctx context.Context, name string, g *stage) (*observation, error) {
	before, err := g.readUse()
	if err != nil {
		return nil, err
	}
	g.began = time.Now()
	if g.later != nil {
		defer time.AfterFunc(laterAfter, g.later).Stop()
	}
	g.srv.look()
	report, err := l.diagnose(ctx, name)
	if err != nil {
		return nil, err
	}
	g.ended = time.Now()
	g.srv.look()
	after, err := g.readUse()
	return &observation{report, before.until(after, g.ended.Sub(g.began))}, err
}

func (l *lab) diagnose(ctx context.Context, name string) (*contract.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, observeFor+overhead)
	defer cancel()
	args := []string{"diagnose", "-o", "json", "--duration", observeFor.String()}
	if l.keep != "" {
		args = append(args, "--save", filepath.Join(l.keep, name+".hr"))
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, l.headroom, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("headroom diagnose: %w\n%s", err, &errs)
	}
	return contract.Parse(out.Bytes())
}

// said returns one line for each finding and each gap of a report.
func said(r *contract.Report) []string {
	var lines []string
	for i := range r.Findings {
		f := &r.Findings[i]
		line := short(f)
		if f.SymptomOf != nil {
			line += " (symptom of " + f.SymptomOf.ID + ")"
		}
		if len(f.Recommendations) > 0 {
			line += " → " + f.Recommendations[0].Action
		}
		lines = append(lines, line)
	}
	for _, gap := range r.Gaps {
		lines = append(lines, "gap "+gap.Source+": "+gap.Reason)
	}
	return lines
}

func cores() int { return goruntime.NumCPU() }
