// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/store"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

const key = "cpu-throttled/container:api"

// An agent has the parts whose state a Keeper saves: a history, a past and a tracker.
type agent struct {
	*Keeper
	tracker *Tracker
	log     bytes.Buffer
}

// start returns an agent whose keeper has read dir, with the clock later than now.
func start(t *testing.T, dir string, later time.Duration) *agent {
	t.Helper()
	h := history.New(history.Options{
		Index: observe.NewIndex(observe.DefaultLimit), Boot: "a", Wall: time.Now().Add(later), Since: time.Hour + later,
	})
	a := &agent{tracker: state.New[*report.Finding]()}
	a.Keeper = New(Options{Log: slog.New(slog.NewTextHandler(&a.log, nil)), History: h, Past: past.New(h.Now)})
	a.dir = dir
	a.open()
	t.Cleanup(a.close)
	return a
}

// fire makes the agent's finding fire, and passes it to the keeper.
func (a *agent) fire() {
	f := &report.Finding{Key: key, ID: "cpu-throttled"}
	a.tracker.Restore(findings{Now: 100, Entries: []finding{{
		Status: state.Status[*report.Finding]{Key: key, ID: f.ID, State: state.Firing, Severity: analysis.Warning, Payload: f},
		Began:  40, Last: 100, Entered: 30, Raises: []float64{70},
	}}})
	a.Past.Publish(publish.Change{Finding: f, From: state.Pending, To: state.Firing, At: time.Now()})
	a.Update(a.tracker, []state.Change{{Key: key, From: state.Pending, To: state.Firing}})
}

// end saves all state, as the agent does when it ends.
func (a *agent) end() {
	a.save(true)
	a.close()
}

// episodes returns the number of open episodes and of ended ones.
func (a *agent) episodes() (open, over int) {
	for _, e := range a.Past.Episodes(time.Time{}) {
		if e.Ended == nil {
			open++
		} else {
			over++
		}
	}
	return open, over
}

func (a *agent) reasons() string {
	var all []string
	for _, g := range a.Gaps() {
		all = append(all, g.Source+": "+g.Reason)
	}
	return strings.Join(all, "; ")
}

// metric returns the value of a series of the keeper.
func (a *agent) metric(t *testing.T, name string) (float64, bool) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(a.Keeper)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric()[0]; f.GetName() == name {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

func (a *agent) firing() bool {
	s, ok := a.tracker.Status(key)
	return ok && s.State == state.Firing
}

// TestResume checks that after a short restart a finding still fires, with its episode,
// and that after a long one, or with a tracker that has evaluated something, it has
// ended.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name       string
		away       time.Duration
		fresh      bool
		firing     bool
		open, over int
	}{
		{"a short restart", time.Minute, true, true, 1, 0},
		{"the longest restart that resumes", resume - time.Minute, true, true, 1, 0},
		{"a long restart", resume + time.Minute, true, false, 0, 1},
		{"storage that answered late", time.Minute, false, false, 0, 1},
	} {
		dir := t.TempDir()
		a := start(t, dir, 0)
		a.fire()
		a.end()
		a = start(t, dir, c.away)
		a.Resume(a.tracker, c.fresh)
		open, over := a.episodes()
		if a.firing() != c.firing || open != c.open || over != c.over {
			t.Errorf("after %s it fires: %v, with %d episodes open and %d over; want %v, %d and %d",
				c.name, a.firing(), open, over, c.firing, c.open, c.over)
		}
		if s, _ := a.tracker.Status(key); c.firing && (s.Payload == nil || s.Payload.ID != "cpu-throttled") {
			t.Errorf("after %s its finding is %+v", c.name, s.Payload)
		}
		again := state.New[*report.Finding]()
		if a.Resume(again, true); len(again.All()) > 0 {
			t.Errorf("after %s it is resumed twice", c.name)
		}
	}
}

// TestSaveFindings checks that a finding that begins to fire is saved without the
// history, and that an unchanged finding is not saved again.
func TestSaveFindings(t *testing.T) {
	dir := t.TempDir()
	a := start(t, dir, 0)
	a.fire()
	a.save(false)
	if _, err := os.Stat(filepath.Join(dir, historyFile)); err == nil {
		t.Error("the history is saved although it is not due")
	}
	first, err := os.Stat(filepath.Join(dir, findingsFile))
	if err != nil {
		t.Fatal(err)
	}
	a.Update(a.tracker, []state.Change{{Key: "other", From: "", To: state.Pending}})
	a.save(false)
	if again, err := os.Stat(filepath.Join(dir, findingsFile)); err != nil || !os.SameFile(first, again) {
		t.Errorf("the findings are saved again although none began or ceased to fire (%v)", err)
	}
	a.Update(a.tracker, []state.Change{{Key: key, From: state.Firing, To: state.Cleared}})
	a.save(false)
	if again, err := os.Stat(filepath.Join(dir, findingsFile)); err != nil || os.SameFile(first, again) {
		t.Errorf("the findings are not saved although one ceased to fire (%v)", err)
	}
}

// TestFullDisk checks that the keeper logs a full disk once, reports it, and saves
// again when there is space.
func TestFullDisk(t *testing.T) {
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
	if err := os.WriteFile(filler, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	a := start(t, filepath.Join(dir, "state"), 0)
	a.fire()
	for range 3 {
		a.save(true)
	}
	if n := strings.Count(a.log.String(), "cannot save state"); n != 1 || !strings.Contains(a.log.String(), "no space left") {
		t.Errorf("the log says it %d times, want once:\n%s", n, a.log.String())
	}
	if !strings.Contains(a.reasons(), "storage: ") || !strings.Contains(a.reasons(), "no space left") {
		t.Errorf("gaps = %q", a.reasons())
	}
	if good, ok := a.metric(t, "headroom_storage_last_save_successful"); !ok || good != 0 {
		t.Errorf("the last save was successful: %v (exported: %v), want 0", good, ok)
	}
	if n, _ := a.metric(t, "headroom_storage_failures_total"); n < 3 {
		t.Errorf("%v failures are counted, want 3", n)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	a.save(true)
	if a.reasons() != "" || !strings.Contains(a.log.String(), "saving state works again") {
		t.Errorf("with room again the gaps are %q:\n%s", a.reasons(), a.log.String())
	}
	if good, _ := a.metric(t, "headroom_storage_last_save_successful"); good != 1 {
		t.Errorf("with room again the last save was successful: %v, want 1", good)
	}
	a.end()
	a = start(t, a.dir, 0)
	if a.Resume(a.tracker, true); !a.firing() {
		t.Errorf("what was saved then is not resumed: %+v", a.tracker.All())
	}
}

// TestTwoAgents checks that a second agent runs without the directory, and uses it when
// the first agent ends.
func TestTwoAgents(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir, 0)
	first.fire()
	second := start(t, dir, 0)
	if !strings.Contains(second.reasons(), store.ErrInUse.Error()) {
		t.Errorf("the second agent's gaps are %q", second.reasons())
	}
	first.end()
	second.save(true)
	if second.reasons() != "" {
		t.Errorf("alone, its gaps are %q", second.reasons())
	}
	second.Resume(second.tracker, false) // the tracker has evaluated something
	if open, over := second.episodes(); open != 0 || over != 1 {
		t.Errorf("it has %d episodes open and %d over, want the first one's, over", open, over)
	}
}

// TestDamagedFiles checks that records before the damage are restored, and that the
// damage is logged once.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	a := start(t, dir, 0)
	a.fire()
	a.end()
	for _, name := range []string{historyFile, findingsFile} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text[:len(text)-4], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a = start(t, dir, 0)
	if n := strings.Count(a.log.String(), "is lost"); n != 2 {
		t.Errorf("the log tells of %d files, want both:\n%s", n, a.log.String())
	}
	if a.Resume(a.tracker, true); !a.firing() {
		t.Errorf("what came before the damage is not resumed: %+v", a.tracker.All())
	}
	a.Update(a.tracker, nil)
	a.end()
	if a = start(t, dir, 0); strings.Contains(a.log.String(), "is lost") {
		t.Errorf("it is logged again:\n%s", a.log.String())
	}
}

// TestMissingDirectory checks that the keeper saves once the directory can be created,
// and again after the directory was removed.
func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing", "state")
	a := start(t, dir, 0)
	if !strings.Contains(a.reasons(), "no such file") {
		t.Errorf("gaps = %q", a.reasons())
	}
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if a.save(false); a.reasons() != "" {
		t.Errorf("with a directory the gaps are %q", a.reasons())
	}
	if _, err := os.Stat(filepath.Join(dir, historyFile)); err != nil {
		t.Errorf("the first save in it left out the history: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	a.save(true) // detects that the directory was removed
	a.save(true)
	if _, err := os.Stat(filepath.Join(dir, historyFile)); err != nil {
		t.Errorf("in a directory that was removed meanwhile: %v", err)
	}
}

// TestStart checks that Start restores state before it returns, and that state is saved
// when Wait returns.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	run := func() (a *agent, stop func()) {
		a = start(t, "", 0)
		a.set(func(s *status) { *s = status{} })
		ctx, cancel := context.WithCancel(context.Background())
		a.Start(ctx, dir)
		return a, func() { cancel(); a.Wait() }
	}
	a, stop := run()
	a.fire()
	stop()
	a, stop = run()
	defer stop()
	if a.Resume(a.tracker, true); !a.firing() {
		t.Errorf("what the first one saved at its end is not resumed:\n%s", a.log.String())
	}
}

// TestNoStorage checks that nothing is saved without a directory, and that no series
// reports saving.
func TestNoStorage(t *testing.T) {
	var log bytes.Buffer
	h := history.New(history.Options{Index: observe.NewIndex(observe.DefaultLimit), Wall: time.Now()})
	a := &agent{Keeper: New(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), History: h, Past: past.New(h.Now)})}
	a.Start(context.Background(), "")
	a.Wait()
	if _, ok := a.metric(t, "headroom_storage_last_save_successful"); ok || len(a.Gaps()) > 0 {
		t.Errorf("the metric is exported: %v, gaps = %v; want neither", ok, a.Gaps())
	}
	if _, ok := a.metric(t, "headroom_history_size_bytes"); !ok || !strings.Contains(log.String(), "state is lost at a restart") {
		t.Errorf("the size of the history is exported: %v, and the log is %q", ok, log.String())
	}
}

func TestPath(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
	got := []string{Path("/flag", "/config"), Path("", "/config"), Path("", "")}
	if want := []string{"/flag", "/config", "/var/lib/a"}; !slices.Equal(got, want) {
		t.Errorf("by flag, config and systemd the path is %q, want %q", got, want)
	}
	t.Setenv("STATE_DIRECTORY", "")
	if got := Path("", ""); got != "" {
		t.Errorf("without any the path is %q", got)
	}
}
