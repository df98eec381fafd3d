// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/headroom-project/headroom/analyzers/publish/past"
)

// A Past is the history of findings. If a Source implements it, its episodes are served.
type Past interface {
	// Episodes returns the episodes, the newest first.
	Episodes(since time.Time) []past.Episode
}

// HistorySchema names the answer's format.
const HistorySchema = "headroom/findings-history/v1"

// A pastAnswer is the answer of /api/v1/findings/history.
type pastAnswer struct {
	Schema   string         `json:"schema"`
	Since    time.Time      `json:"since"`
	Episodes []past.Episode `json:"episodes"`
}

// longest is the default of since: the maximum retention.
const longest = 7 * 24 * time.Hour

func history(w http.ResponseWriter, r *http.Request, p Past) {
	q, err := query(r, map[string][]string{"since": nil})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	since, err := sinceOf(q.Get("since"), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, err := json.Marshal(pastAnswer{HistorySchema, since.UTC(), p.Episodes(since)})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, append(text, '\n'))
}

// sinceOf parses a timestamp, or a duration before now.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now.Add(-longest), nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("since=%q is neither a moment, such as 2026-11-25T03:00:00Z, nor how long ago, such as 24h", text)
	}
	return at, nil
}
