// SPDX-License-Identifier: Apache-2.0

package analysistest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Life is a recording of minutes that is evaluated as in the agent: in windows of
// half a minute, with the history before each window.
type Life struct {
	File string // such as testdata/lives/leak.txtar
	// Slower stretches the recording from minutes to hours: in the history, and for the
	// ages of processes, one recorded second takes this many. 0 is the same as 1.
	Slower float64
	Params map[*analysis.Param]float64
}

// A Seen holds the findings of one window. Second is the time of its end since the start
// of the recording, times Slower.
type Seen struct {
	Second   float64
	Findings []*analysis.Finding
	Window   *observe.Window
}

// Live replays a life, and calls each for every ten seconds of the recording.
func (l Life) Live(t *testing.T, a *analysis.Analyzer, each func(Seen)) {
	t.Helper()
	content, err := txtar.ParseFile(l.File)
	if err != nil {
		t.Fatal(err)
	}
	in, err := archive.NewReader(bytes.NewReader(section(content, "recording")))
	if err != nil {
		t.Fatal(err)
	}
	slower := max(1, l.Slower)
	past := history.New(history.Options{Index: in.Index(), Wall: in.Header().Start})
	differ, sliding := observe.NewDiffer(in.Index()), observe.NewSliding(in.Index(), 30, 10)
	var began time.Duration
	for first := true; ; first = false {
		s, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if first {
			began = s.Monotonic
		}
		passed := time.Duration(slower * float64(s.Monotonic-began))
		for id, age := range s.Values(catalog.ProcessAge) {
			s.Set(catalog.ProcessAge, id, age+passed.Seconds()-(s.Monotonic-began).Seconds())
		}
		step := differ.Step(s)
		past.Add(step, passed)
		if w := sliding.Add(step); w != nil {
			r := analysis.Run([]*analysis.Analyzer{a}, w, in.Header().Host, analysis.Options{Params: l.Params, History: past})
			mustNotFail(t, r)
			each(Seen{Second: passed.Seconds(), Findings: r.Findings, Window: w})
		}
	}
}

// slowed returns the history of a recording, stretched in time: rates and levels are as
// recorded. x is the index of another reader of the same recording, which numbers
// entities in the same way.
func slowed(t *testing.T, x *observe.Index, recording []byte, slower float64) *history.History {
	t.Helper()
	in, err := archive.NewReader(bytes.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	past, differ := history.New(history.Options{Index: x, Wall: in.Header().Start}), observe.NewDiffer(x)
	var began time.Duration
	for first := true; ; first = false {
		s, err := in.Next()
		if errors.Is(err, io.EOF) {
			return past
		}
		if err != nil {
			t.Fatal(err)
		}
		if first {
			began = s.Monotonic
		}
		monotonic, boot := s.Monotonic, s.BootTime // which the reader checks
		s.Monotonic = time.Duration(slower * float64(monotonic-began))
		s.BootTime = s.Monotonic
		for _, m := range catalog.All() {
			if m.Kind != observe.Counter || m.About != observe.Cgroup {
				continue
			}
			for id, v := range s.Values(m) {
				s.Set(m, id, v*slower)
			}
			s.SetBefore(m, 1) // the recorded delay is on another clock
		}
		past.Add(differ.Step(s), s.BootTime)
		s.Monotonic, s.BootTime = monotonic, boot
	}
}
