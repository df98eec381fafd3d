// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
	"github.com/headroom-project/headroom/cmd/headroom/internal/scope"
)

// burn returns a recording of a node server whose event loop is blocked.
func burn(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../testdata/burn.hr")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func judge(t *testing.T, q Inquiry, text []byte, watchers ...func(*observe.Snapshot) error) (*analysis.Result, error) {
	t.Helper()
	from, err := Replay(bytes.NewReader(text), "burn.hr")
	if err != nil {
		t.Fatal(err)
	}
	return q.Judge(context.Background(), from, watchers...)
}

func ids(r *analysis.Result) []string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Analyzer.Name)
	}
	return all
}

// TestJudge checks that the findings are those of the target, with its params.
func TestJudge(t *testing.T) {
	params, err := lookup.Params([]string{"event-loop-blocked.warn-lag=10m", "event-loop-blocked.critical-lag=10m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		inquiry Inquiry
		blocked bool
	}{
		{"the host", Inquiry{}, true},
		{"its command", Inquiry{Target: scope.Target{Command: "node"}}, true},
		{"the host, by other thresholds", Inquiry{Params: params}, false},
	} {
		watched := 0
		r, err := judge(t, c.inquiry, burn(t), func(*observe.Snapshot) error { watched++; return nil })
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := slices.Contains(ids(r), "event-loop-blocked"); got != c.blocked || watched < 2 {
			t.Errorf("%s: %d snapshots, findings %q; want event-loop-blocked: %v", c.name, watched, ids(r), c.blocked)
		}
	}
}

// TestNotFound checks that a target that matches nothing is an error, not a healthy
// host.
func TestNotFound(t *testing.T) {
	r, err := judge(t, Inquiry{Target: scope.Target{Command: "no-such-program"}}, burn(t))
	if r != nil || err == nil || !strings.Contains(err.Error(), `nothing matches command "no-such-program"`) {
		t.Errorf("Judge = %+v, %v", r, err)
	}
}

// TestWatcherFails checks that an error of a watcher ends the observation.
func TestWatcherFails(t *testing.T) {
	stop, seen := errors.New("stop"), 0
	r, err := judge(t, Inquiry{}, burn(t), func(*observe.Snapshot) error { seen++; return stop })
	if r != nil || !errors.Is(err, stop) || seen != 1 {
		t.Errorf("after %d snapshots Judge = %+v, %v; want the error after one", seen, r, err)
	}
}

// TestCutRecording checks that a truncated recording is evaluated up to the truncation,
// with a gap about it, and that the error for a recording that is too short mentions
// the truncation.
func TestCutRecording(t *testing.T) {
	recorded, err := txtar.ParseFile("../../../../analyzers/cputhrottled/testdata/limit-too-low.txtar")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(recorded.Files[0].Data), "\n") // the header, then one snapshot per line
	for _, c := range []struct {
		whole int // lines
		want  string
	}{
		{1, "cut.hr"}, {2, errTooLittle.Error()}, {6, ""},
	} {
		text := strings.Join(lines[:c.whole], "") + lines[c.whole][:40]
		from, err := Replay(strings.NewReader(text), "cut.hr")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Inquiry{}.Judge(context.Background(), from)
		if c.want != "" {
			if r != nil || err == nil || !strings.Contains(err.Error(), c.want) || strings.HasSuffix(err.Error(), errTooLittle.Error()) {
				t.Errorf("of %d lines Judge = %+v, %v, want an error with %q and why", c.whole, r, err, c.want)
			}
			continue
		}
		if err != nil || r.Window.Seconds < 3 || !slices.ContainsFunc(r.Gaps, func(g observe.Gap) bool { return g.Source == archive.GapRecording }) {
			t.Errorf("of %d lines Judge = %+v, %v, want a window and a gap about the recording", c.whole, r, err)
		}
	}
}

// TestTooLittle checks that a window that is too short to evaluate is an error.
func TestTooLittle(t *testing.T) {
	one := &Source{Each: func(_ context.Context, see func(*observe.Snapshot) error) error {
		return see(observe.NewSnapshot(observe.NewIndex(observe.DefaultLimit)))
	}}
	none := &Source{Each: func(context.Context, func(*observe.Snapshot) error) error { return nil }}
	for name, from := range map[string]*Source{"no snapshot": none, "one snapshot": one} {
		if r, err := (Inquiry{}).Judge(context.Background(), from); r != nil || !errors.Is(err, errTooLittle) {
			t.Errorf("of %s Judge = %+v, %v", name, r, err)
		}
	}
}

// TestReplayFails checks that input that is not a recording is an error that names the
// input.
func TestReplayFails(t *testing.T) {
	for name, text := range map[string]string{"empty.hr": "", "page.hr": "<html>", "other.hr": `{"schema":"other/v1"}` + "\n"} {
		if from, err := Replay(strings.NewReader(text), name); from != nil || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Replay of %s = %v, %v", name, from, err)
		}
	}
}

// TestInterrupted checks that a replay ends with its context.
func TestInterrupted(t *testing.T) {
	from, err := Replay(bytes.NewReader(burn(t)), "burn.hr")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	r, err := Inquiry{}.Judge(ctx, from, func(*observe.Snapshot) error { seen++; cancel(); return nil })
	if r != nil || !errors.Is(err, context.Canceled) || seen != 1 {
		t.Errorf("after %d snapshots Judge = %+v, %v", seen, r, err)
	}
}

// TestLive checks that this host can be observed and evaluated.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("observes for seconds")
	}
	from := Live(2*time.Second, nil, false)
	r, err := Inquiry{}.Judge(context.Background(), from)
	if err != nil || from.Host.CPUs < 1 || r.Window.Seconds < 1 {
		t.Errorf("Judge of %+v = %+v, %v", from.Host, r, err)
	}
}
