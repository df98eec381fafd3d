// SPDX-License-Identifier: Apache-2.0

// Package diagnosis evaluates one observation, of this host or of a recording:
// snapshots in, findings out.
package diagnosis

import (
	"context"
	"errors"
	"fmt"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/scope"
)

// minWindow is the minimum length of a window that is evaluated, in seconds: a
// shorter one can consist of a single tick of a loop or period of a quota.
const minWindow = 0.5

var errTooLittle = errors.New("too little was observed: a diagnosis needs two readings, a second apart")

// An Inquiry sets what to evaluate in an observation.
type Inquiry struct {
	Target scope.Target
	Params map[*analysis.Param]float64
}

// Judge turns snapshots into findings, in the same way for a host and for a
// recording. Watchers are called with each snapshot as well.
func (q Inquiry) Judge(ctx context.Context, from *Source, watchers ...func(*observe.Snapshot) error) (*analysis.Result, error) {
	var differ *observe.Differ
	var window *observe.Window
	err := from.Each(ctx, func(s *observe.Snapshot) error {
		if differ == nil {
			differ, window = observe.NewDiffer(s.Index), observe.NewWindow(s.Index)
		}
		window.Add(differ.Step(s))
		for _, watch := range watchers {
			if err := watch(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if window == nil || window.Seconds < minWindow {
		if from.rest != nil {
			return nil, fmt.Errorf("%w; %s", errTooLittle, from.rest.Reason)
		}
		return nil, errTooLittle
	}
	if from.rest != nil {
		window.Gaps = append(window.Gaps, *from.rest)
	}
	return q.ask(window, from.Host)
}

// ask runs every analyzer, and keeps the findings that concern the target.
func (q Inquiry) ask(w *observe.Window, of observe.Host) (*analysis.Result, error) {
	opts := analysis.Options{Params: q.Params, Sources: host.Sources(host.Samplers)}
	if q.Target.Everything() {
		return analysis.Run(suite.Analyzers, w, of, opts), nil
	}
	members := q.Target.Members(w.Index)
	if len(members) == 0 {
		return nil, q.Target.NotFound(w.Index)
	}
	opts.Keep = scope.Concerns(w.Index, members)
	r := analysis.Run(suite.Analyzers, w, of, opts)
	q.Target.Present(r, members)
	return r, nil
}
