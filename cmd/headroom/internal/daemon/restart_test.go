// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/publish/web"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/cmd/headroom/internal/keeper"
)

// A kept tape is one whose watcher saves its state in dir.
type keptTape struct {
	*tape
	dir string
	end func() // ends the watcher as SIGTERM does
}

func kept(t *testing.T, recording, dir string) *keptTape {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &keptTape{tape: newTape(t, recording, ""), dir: dir}
	p.keeper.Start(ctx, dir)
	p.end = func() { cancel(); p.keeper.Wait() }
	t.Cleanup(p.end)
	return p
}

// restart ends a tape, and starts another one with the same saved state.
func (p *keptTape) restart(recording string) *keptTape {
	p.t.Helper()
	p.end()
	return kept(p.t, recording, p.dir)
}

// episodes returns the episodes of cpu-throttled from the API.
func (p *tape) episodes() []past.Episode {
	p.t.Helper()
	w := httptest.NewRecorder()
	web.Handler(p, p.metrics()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/findings/history?since=24h", nil))
	var answer struct {
		Schema   string
		Episodes []past.Episode
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Schema != web.HistorySchema {
		p.t.Fatalf("%v: %s", err, w.Body)
	}
	var own []past.Episode
	for _, e := range answer.Episodes {
		if e.Finding = nil; e.ID == quota { // not readable in test messages
			own = append(own, e)
		}
	}
	return own
}

// TestRestartAnnouncesNothing checks that a finding that fired before a restart
// continues with the same start time, that the log and the sinks do not report it
// again, and that it ends once.
func TestRestartAnnouncesNothing(t *testing.T) {
	p := kept(t, throttled, t.TempDir())
	p.until(quota, state.Firing, 120)
	key, since := p.finding(quota).Key, p.finding(quota).Since
	p = p.restart(throttled)
	var all heard
	p.sinks = append(p.sinks, &all)
	p.play(61)
	if f := p.finding(quota); f == nil || f.State != string(state.Firing) || f.Since != since || f.Key != key {
		t.Errorf("after the restart it is %+v, want firing since %s", f, since)
	}
	for _, c := range all {
		if c.Finding.Key == key {
			t.Errorf("after the restart a sink hears that it is %s", c.To)
		}
	}
	p.configure("thresholds: [{id: cpu-throttled, set: " + silent + "}]")
	p.until(quota, state.Cleared, 300)
	p = p.restart(throttled)
	if got := p.episodes(); len(got) != 1 || got[0].Key != key || got[0].Ended == nil {
		t.Errorf("episodes = %+v, want the one, that is over", got)
	}
}

// TestStorageGap checks that the report contains a gap if the state cannot be saved.
func TestStorageGap(t *testing.T) {
	p := kept(t, throttled, filepath.Join(t.TempDir(), "missing", "state"))
	p.play(31)
	var reasons []string
	for _, g := range p.Report().Gaps {
		if g.Source == keeper.GapSource {
			reasons = append(reasons, g.Reason)
		}
	}
	if len(reasons) != 1 || !strings.Contains(reasons[0], "no such file") {
		t.Errorf("the gaps about storage are %q, want one: no such file", reasons)
	}
}
