// SPDX-License-Identifier: Apache-2.0

package past

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// An agent publishes changes of findings. Its clock starts at noon.
type agent struct {
	*Past
	seconds int64
}

func newAgent() *agent {
	a := &agent{}
	a.Past = New(func() int64 { return noon.Unix() + a.seconds })
	return a
}

func (a *agent) change(key string, from, to state.State, summary string) {
	a.Publish(publish.Change{Finding: &report.Finding{Key: key, ID: "id", State: string(to), Summary: summary},
		From: from, To: to, At: noon.Add(time.Duration(a.seconds) * time.Second)})
}

// life publishes a finding that is pending, firing for the given time, and cleared.
func (a *agent) life(key string, seconds int64, summary string) {
	a.change(key, "", state.Pending, "")
	a.change(key, state.Pending, state.Firing, "it begins")
	a.seconds += seconds
	a.change(key, state.Firing, state.Cleared, summary)
	a.seconds++
}

func summaryOf(t *testing.T, e Episode) string {
	t.Helper()
	var f report.Finding
	if err := json.Unmarshal(e.Finding, &f); err != nil {
		t.Fatal(err)
	}
	return f.Summary
}

// TestEachEpisodeOnce checks that each episode is recorded once, including those of a
// finding that returns. A finding that never fired has none.
func TestEachEpisodeOnce(t *testing.T) {
	a := newAgent()
	a.life("a", 100, "over")
	a.life("a", 50, "over again")
	a.change("b", "", state.Pending, "")
	a.change("a", state.Cleared, state.Pending, "")
	a.change("a", state.Pending, state.Cleared, "")
	a.change("c", state.Pending, state.Firing, "goes on")
	got := a.Episodes(noon)
	if len(got) != 3 || got[0].Key != "c" || got[0].Ended != nil || summaryOf(t, got[1]) != "over again" || got[2].Ended.Sub(got[2].Fired) != 100*time.Second {
		t.Errorf("episodes = %+v", got)
	}
	if got := a.Episodes(noon.Add(120 * time.Second)); len(got) != 2 {
		t.Errorf("since the second one %d, want it and the one that goes on", len(got))
	}
}

// TestBounded checks the limits on age, number and bytes.
func TestBounded(t *testing.T) {
	a := newAgent()
	a.life("old", 1, "")
	a.seconds += span
	for i := range maxEpisodes + 10 {
		a.life(fmt.Sprint(i), 1, "")
	}
	if got := a.Episodes(time.Time{}); len(got) != maxEpisodes || got[len(got)-1].Key == "old" {
		t.Errorf("%d episodes, the oldest %q", len(got), got[len(got)-1].Key)
	}
	long := strings.Repeat("x", 10_000)
	for i := range 200 {
		a.life(fmt.Sprint(i), 1, long)
	}
	if a.bytes > maxBytes || len(a.Episodes(time.Time{})) < 50 {
		t.Errorf("%d bytes of %d episodes, at most %d bytes", a.bytes, len(a.over), maxBytes)
	}
	a.seconds += span + 10
	if got := a.Episodes(time.Time{}); len(got) != 0 {
		t.Errorf("%d episodes are told after a week", len(got))
	}
}

// restart returns an agent that has read the saved records of a, twice.
func restart(t *testing.T, a *agent) *agent {
	t.Helper()
	b := newAgent()
	b.seconds = a.seconds
	for range 2 {
		if err := a.Records(b.Record); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestRestart(t *testing.T) {
	a := newAgent()
	a.life("a", 100, "over")
	a.change("b", state.Pending, state.Firing, "goes on")
	a.change("c", state.Pending, state.Firing, "its end is not seen")
	b := restart(t, a)
	if got, want := len(b.Episodes(noon)), len(a.Episodes(noon)); got != want || b.bytes != a.bytes {
		t.Fatalf("%d episodes of %d bytes, want %d of %d", got, b.bytes, want, a.bytes)
	}
	ended := noon.Add(150 * time.Second)
	b.Settle(func(key string) bool { return key == "b" }, ended)
	b.seconds += 400
	b.change("b", state.Firing, state.Cleared, "over as well")
	got := b.Episodes(noon)
	if len(got) != 3 || summaryOf(t, got[0]) != "over as well" && summaryOf(t, got[1]) != "over as well" {
		t.Errorf("episodes = %+v", got)
	}
	for _, e := range got {
		if e.Key == "c" && (e.Ended == nil || !e.Ended.Equal(ended) || summaryOf(t, e) != "its end is not seen") {
			t.Errorf("%+v, want it to have ended when the agent did", e)
		}
	}
}

func TestForeignRecord(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"finding":7}`} {
		if err := newAgent().Record([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
