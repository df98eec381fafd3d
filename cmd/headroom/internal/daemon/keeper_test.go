// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/store"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/publish/web"
	"github.com/headroom-project/headroom/analyzers/state"
)

// kept puts a recording in whose watcher keeps what it remembers in dir.
func kept(t *testing.T, recording, dir string) *tape {
	t.Helper()
	p := newTape(t, recording, "")
	p.keeper.dir = dir
	p.keeper.open()
	t.Cleanup(p.keeper.close)
	return p
}

// restart ends a tape as SIGTERM does, and begins another one in its place.
func (p *tape) restart(recording string) *tape {
	p.t.Helper()
	p.keeper.save(true)
	p.keeper.close()
	return kept(p.t, recording, p.keeper.dir)
}

// episodes asks the API for those of cpu-throttled.
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
		if e.Finding = nil; e.ID == quota { // nobody reads it here as numbers
			own = append(own, e)
		}
	}
	return own
}

// TestRestartAnnouncesNothing: what fired before goes on, since when it did; the
// log and the sinks hear nothing of it, and its end is one end.
func TestRestartAnnouncesNothing(t *testing.T) {
	p := kept(t, throttled, t.TempDir())
	p.until(quota, state.Firing, 120)
	key, since := p.finding(quota).Key, p.finding(quota).Since
	p.keeper.save(false)
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

// TestLongAwayBeginsAnew: what fired more than ten minutes ago has ended.
func TestLongAwayBeginsAnew(t *testing.T) {
	p := kept(t, throttled, t.TempDir())
	p.until(quota, state.Firing, 120)
	p.keeper.save(true)
	p.keeper.close()
	p = kept(t, throttled, p.keeper.dir)
	p.keeper.found.Clock -= int64(resume/time.Second) + 60 // as if it had been saved earlier
	p.until(quota, state.Firing, 120)
	got := p.episodes()
	if len(got) != 2 || got[0].Ended != nil || got[1].Ended == nil {
		t.Errorf("episodes = %+v, want one that ended with the agent and one that goes on", got)
	}
}

// TestStorageTrouble: on a disk that is full the agent goes on, says so once in
// its log, in every report and in its metrics, and goes on saving when there is
// room again.
func TestStorageTrouble(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a filesystem of its own takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("headroom-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	p := kept(t, throttled, filepath.Join(dir, "state"))
	p.until(quota, state.Firing, 120)
	for range 3 {
		p.keeper.save(true)
	}
	p.play(11)
	if n := strings.Count(p.log.String(), "cannot save state"); n != 1 || !strings.Contains(p.log.String(), "no space left") {
		t.Errorf("the log says it %d times, want once:\n%s", n, p.log.String())
	}
	if !strings.Contains(reasons(p), "no space left") {
		t.Errorf("gaps = %q", reasons(p))
	}
	if got := p.scrape("headroom_storage_"); len(got) != 2 || !strings.HasSuffix(got[1], "successful 0") {
		t.Errorf("metrics = %q", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.keeper.save(true)
	p.play(11)
	if reasons(p) != "" || !strings.Contains(p.log.String(), "saving state works again") {
		t.Errorf("with room again the gaps are %q:\n%s", reasons(p), p.log.String())
	}
	if p = p.restart(throttled); p.keeper.found == nil || len(p.keeper.found.lives.Entries) < 1 {
		t.Errorf("then it reads %+v", p.keeper.found)
	}
}

// reasons are the gaps about the storage in the newest report.
func reasons(p *tape) string {
	var all []string
	for _, g := range p.Report().Gaps {
		if g.Source == "storage" {
			all = append(all, g.Reason)
		}
	}
	return strings.Join(all, "; ")
}

// TestTwoAgents: the second one goes on in memory, and takes over when the first
// one ends.
func TestTwoAgents(t *testing.T) {
	dir := t.TempDir()
	first := kept(t, throttled, dir)
	first.until(quota, state.Firing, 120)
	second := kept(t, healthy, dir)
	second.play(31)
	if !strings.Contains(reasons(second), store.ErrInUse.Error()) {
		t.Errorf("the second agent's gaps are %q", reasons(second))
	}
	first.keeper.save(true)
	first.keeper.close()
	second.keeper.save(true)
	second.play(11)
	if reasons(second) != "" {
		t.Errorf("alone, its gaps are %q", reasons(second))
	}
	if got := second.episodes(); len(got) != 1 || got[0].Ended == nil {
		t.Errorf("it knows of %+v, want the first one's that ended with it", got)
	}
}

// TestDamagedStorage: the file is put aside, told of once, and what came before
// the damage is known.
func TestDamagedStorage(t *testing.T) {
	p := kept(t, throttled, t.TempDir())
	p.until(quota, state.Firing, 120)
	p.keeper.save(true)
	p.keeper.close()
	for _, name := range []string{historyFile, findingsFile} {
		path := filepath.Join(p.keeper.dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text[:len(text)-4], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p = kept(t, throttled, p.keeper.dir)
	p.play(31)
	if n := strings.Count(p.log.String(), "is lost"); n != 2 {
		t.Errorf("the log tells of %d files, want both:\n%s", n, p.log.String())
	}
	if f := p.finding(quota); f == nil || f.State != string(state.Firing) {
		t.Errorf("what came before the damage is %+v, want firing", f)
	}
	if p = p.restart(throttled); strings.Contains(p.log.String(), "is lost") {
		t.Errorf("it is told again:\n%s", p.log.String())
	}
}

// TestNoDirectory: the agent goes on, and keeps once there is one.
func TestNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing", "state")
	p := kept(t, throttled, dir)
	p.play(31)
	if !strings.Contains(reasons(p), "no such file") {
		t.Errorf("gaps = %q", reasons(p))
	}
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	p.keeper.save(true)
	p.play(11)
	if reasons(p) != "" {
		t.Errorf("with a directory the gaps are %q", reasons(p))
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	p.keeper.save(true) // finds out
	p.keeper.save(true)
	if _, err := os.Stat(filepath.Join(dir, historyFile)); err != nil {
		t.Errorf("in a directory that was removed under it: %v", err)
	}
}
