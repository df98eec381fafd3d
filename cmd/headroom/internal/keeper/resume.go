// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/headroom-project/headroom/analyzers/state"
)

// Files of the store, and the version of the file with findings.
const (
	historyFile, findingsFile = "history", "findings"
	findingsVersion           = 1
)

// resume is the maximum age of the last save for which findings are resumed; above
// it they start again. So they are resumed for at least ten minutes after the end of
// the agent.
const resume = 10*time.Minute + saveHistory

// savedFindings holds the active findings of the file.
type savedFindings struct {
	moment
	findings findings
}

// A moment is the time at which the file was saved: the time of day, and the times
// of the history and of the tracker.
type moment struct {
	Wall  time.Time `json:"wall"`
	Clock int64     `json:"clock"`
	Now   float64   `json:"now"`
}

// A record is one record of the file. It has exactly one of the three fields. The
// moment comes first.
type record struct {
	Moment  *moment         `json:"moment,omitempty"`
	Life    *finding        `json:"life,omitempty"`
	Episode json.RawMessage `json:"episode,omitempty"`
}

// take adds a record of the findings.
func (k *Keeper) take(text []byte, found **savedFindings) error {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	switch {
	case r.Moment != nil:
		*found = &savedFindings{moment: *r.Moment, findings: findings{Now: r.Moment.Now}}
	case r.Life != nil && *found != nil:
		(*found).findings.Entries = append((*found).findings.Entries, *r.Life)
	case r.Episode != nil:
		return k.Past.Record(r.Episode)
	}
	return nil // of another version
}

// records calls each with the findings and past episodes as records.
func (k *Keeper) records(now findings, each func([]byte) error) error {
	write := func(r record) error {
		text, err := json.Marshal(r)
		if err != nil {
			return err // a report of them could not be encoded either
		}
		return each(text)
	}
	if err := write(record{Moment: &moment{Wall: time.Now().UTC(), Clock: k.History.Now(), Now: now.Now}}); err != nil {
		return err
	}
	for i := range now.Entries {
		if err := write(record{Life: &now.Entries[i]}); err != nil {
			return err
		}
	}
	return k.Past.Records(func(text []byte) error { return write(record{Episode: text}) })
}

// Resume restores the findings saved before the restart into a tracker. fresh
// reports that the tracker has evaluated nothing yet. If the save is too old, or
// the tracker is not fresh, the saved findings have ended.
func (k *Keeper) Resume(t *Tracker, fresh bool) {
	k.mu.Lock()
	found := k.found
	k.found = nil
	k.mu.Unlock()
	if found == nil {
		return
	}
	away := time.Duration(k.History.Now()-found.Clock) * time.Second
	if away <= resume && fresh {
		t.Restore(found.findings)
		k.Log.Info("resuming findings saved before the restart", "findings", len(found.findings.Entries), "away", away)
	}
	k.Past.Settle(func(key string) bool {
		s, ok := t.Status(key)
		return ok && s.State == state.Firing
	}, found.Wall)
}

// Update passes on the findings of a tracker after an evaluation, with its changes.
// They are saved soon if a finding started or stopped firing; pending findings are
// not saved.
func (k *Keeper) Update(t *Tracker, changes []state.Change) {
	now := t.Save()
	fires := func(c state.Change) bool { return c.From == state.Firing || c.To == state.Firing }
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saving = &now
	k.changed = k.changed || slices.ContainsFunc(changes, fires)
}
