// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// minWindow is the least that is judged, in seconds: in less, one tick of a
// loop or one period of a quota is the whole of it.
const minWindow = 0.5

var errTooLittle = errors.New("too little was observed to judge: it takes two readings, a second apart")

// judge is the one road from snapshots to findings, of a host and of its
// recording alike. Watchers see each snapshot too.
func judge(ctx context.Context, from source, t target, watchers ...func(*observe.Snapshot) error) (*analysis.Result, error) {
	var differ *observe.Differ
	var window *observe.Window
	err := from.each(ctx, func(s *observe.Snapshot) error {
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
		return nil, errTooLittle
	}
	return t.judge(window, from.host)
}

// judge asks every analyzer, and keeps what concerns the target.
func (t target) judge(w *observe.Window, host observe.Host) (*analysis.Result, error) {
	if t.everything() {
		return analysis.Run(analyzers, w, host, analysis.Options{}), nil
	}
	members := t.members(w.Index)
	if len(members) == 0 {
		return nil, t.notFound(w.Index)
	}
	r := analysis.Run(analyzers, w, host, analysis.Options{Keep: concerns(w.Index, members)})
	r.Gaps = append(r.Gaps, endings(w, members)...)
	return r, nil
}
