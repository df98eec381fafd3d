// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/headroom-project/headroom/analyzers/state"
)

// The files of the store, and the version of the one with findings.
const (
	historyFile, findingsFile = "history", "findings"
	findingsVersion           = 1
)

// resume is the age of the last save from which findings start again instead of
// being resumed: at least ten minutes after the end of the agent.
const resume = 10*time.Minute + saveHistory

// savedFindings is what the file with findings has of those that were active.
type savedFindings struct {
	moment
	findings findings
}

// A moment is when the file was saved: the time of day, that of the history, and
// that of the tracker.
type moment struct {
	Wall  time.Time `json:"wall"`
	Clock int64     `json:"clock"`
	Now   float64   `json:"now"`
}

// A record is one record of that file and has one of the three. The moment comes
// first.
type record struct {
	Moment  *moment         `json:"moment,omitempty"`
	Life    *finding        `json:"life,omitempty"`
	Episode json.RawMessage `json:"episode,omitempty"`
}

// take takes in a record of the findings.
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

// records hands out the findings and the past as records.
func (k *Keeper) records(now findings, each func([]byte) error) error {
	write := func(r record) error {
		text, err := json.Marshal(r)
		if err != nil {
			return err // a report of them could not be made either
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

// Resume restores the findings that were saved before the restart, into a tracker
// that is fresh: that has evaluated nothing. Findings that were saved too long ago,
// and all of a tracker that is not fresh, have ended.
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

// Update hands over the findings of a tracker after an evaluation with its changes.
// They are saved soon if a finding began or ceased to fire; pending ones are not
// saved.
func (k *Keeper) Update(t *Tracker, changes []state.Change) {
	now := t.Save()
	fires := func(c state.Change) bool { return c.From == state.Firing || c.To == state.Firing }
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saving = &now
	k.changed = k.changed || slices.ContainsFunc(changes, fires)
}
