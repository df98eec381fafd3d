// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// remembering is an agent with a history of findings.
type remembering struct {
	agent
	past *past.Past
}

func (r remembering) Episodes(since time.Time) []past.Episode { return r.past.Episodes(since) }

// TestHistory checks the filter by time, given as a duration or as a timestamp.
func TestHistory(t *testing.T) {
	now := time.Now()
	p := past.New(func() int64 { return now.Unix() })
	for _, ago := range []time.Duration{48 * time.Hour, time.Hour} {
		f := &report.Finding{Key: ago.String(), ID: "cpu-throttled", Summary: hostileSummary}
		p.Publish(publish.Change{Finding: f, From: state.Pending, To: state.Firing, At: now.Add(-ago - time.Hour)})
		p.Publish(publish.Change{Finding: f, From: state.Firing, To: state.Cleared, At: now.Add(-ago)})
	}
	get := func(query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		Handler(remembering{past: p}, http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/findings/history"+query, nil))
		return w
	}
	for query, want := range map[string]int{"": 2, "?since=72h": 2, "?since=2h": 1, "?since=1m": 0,
		"?since=" + now.Add(-2*time.Hour).UTC().Format(time.RFC3339): 1} {
		w := get(query)
		var answer pastAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Schema != HistorySchema || len(answer.Episodes) != want {
			t.Errorf("%s: %v, schema %q, %d episodes, want %d", query, err, answer.Schema, len(answer.Episodes), want)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" || !strings.Contains(w.Body.String(), `"episodes":[`) {
			t.Errorf("%s: %s %.100s", query, got, w.Body)
		}
	}
	for _, query := range []string{"?since=yesterday", "?since=-5m", "?since=<script>"} {
		if w := get(query); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "how long ago") || strings.Contains(w.Header().Get("Content-Type"), "html") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}
