// SPDX-License-Identifier: Apache-2.0

// Package past keeps the history of findings: an episode for each time that a finding
// fired, with its last contents. It is a publish.Sink, and bounded.
package past

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

const (
	// span is how long an episode is kept, in seconds.
	span = 7 * 24 * 3600
	// maxEpisodes and maxBytes bound the memory: a finding is one to three KiB of
	// JSON.
	maxEpisodes, maxBytes = 1000, 768 << 10
)

// An Episode is one time that a finding fired.
type Episode struct {
	Key   string    `json:"key"`
	ID    string    `json:"id"`
	Fired time.Time `json:"fired"`
	// Ended is absent while the finding fires.
	Ended *time.Time `json:"ended,omitempty"`
	// Finding is the finding as published when it ended, or when it started to fire.
	Finding json.RawMessage `json:"finding"`

	// at is when it ended, on a monotonic clock.
	at int64
}

// A Past is safe for concurrent use.
type Past struct {
	clock func() int64

	mu    sync.Mutex
	live  map[string]Episode
	over  []Episode // the oldest first
	bytes int       // of over
}

// New returns an empty Past. clock is in seconds, and monotonic: the age of an episode must
// not depend on the time of day, which can be set.
func New(clock func() int64) *Past { return &Past{clock: clock, live: make(map[string]Episode)} }

// Publish implements publish.Sink.
func (p *Past) Publish(c publish.Change) {
	begins, ends := c.To == state.Firing, c.To == state.Cleared && c.From == state.Firing
	if !begins && !ends {
		return
	}
	text, err := json.Marshal(c.Finding)
	if err != nil {
		return // a report of it could not be encoded either
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := c.Finding.Key
	if ends {
		p.end(key, c.At, text)
	} else if len(p.live) < maxEpisodes {
		p.live[key] = Episode{Key: key, ID: c.Finding.ID, Fired: c.At, Finding: text}
	}
}

// end ends a live episode.
func (p *Past) end(key string, at time.Time, text []byte) {
	e, ok := p.live[key]
	if !ok {
		return
	}
	delete(p.live, key)
	e.Ended, e.at = &at, p.clock()
	if text != nil {
		e.Finding = text
	}
	p.add(e)
}

func (p *Past) add(e Episode) {
	p.over = append(p.over, e)
	p.bytes += len(e.Finding)
	oldest := p.clock() - span
	for len(p.over) > maxEpisodes || p.bytes > maxBytes || len(p.over) > 0 && p.over[0].at < oldest {
		p.bytes -= len(p.over[0].Finding)
		p.over = slices.Delete(p.over, 0, 1)
	}
}

// Episodes returns those that still fire, and those that ended after since: the
// newest first.
func (p *Past) Episodes(since time.Time) []Episode {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []Episode{}
	for _, e := range p.live {
		all = append(all, e)
	}
	oldest := p.clock() - span
	for _, e := range p.over {
		if e.Ended.After(since) && e.at >= oldest {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b Episode) int { return b.Fired.Compare(a.Fired) })
	return all
}

// saved is an episode in a file.
type saved struct {
	Episode
	At int64 `json:"at"`
}

// Records calls each with every episode, encoded, and stops at the first error.
func (p *Past) Records(each func([]byte) error) error {
	p.mu.Lock()
	all := make([]saved, 0, len(p.over)+len(p.live))
	for _, e := range p.over {
		all = append(all, saved{e, e.at})
	}
	for _, e := range p.live {
		all = append(all, saved{e, 0})
	}
	p.mu.Unlock()
	for _, e := range all {
		text, err := json.Marshal(e)
		if err != nil {
			return err // it was made of JSON: cannot happen
		}
		if err := each(text); err != nil {
			return err
		}
	}
	return nil
}

// Record adds an episode from Records, unless it is already known.
func (p *Past) Record(text []byte) error {
	var s saved
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	var f report.Finding
	if err := json.Unmarshal(s.Finding, &f); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.over, func(e Episode) bool { return e.Key == s.Key && e.Fired.Equal(s.Fired) }) {
		return nil
	}
	s.at = min(s.At, p.clock())
	if s.Ended == nil {
		if _, known := p.live[s.Key]; !known && len(p.live) < maxEpisodes {
			p.live[s.Key] = s.Episode
		}
		return nil
	}
	p.add(s.Episode)
	slices.SortStableFunc(p.over, func(a, b Episode) int { return int(a.at - b.at) })
	return nil
}

// Settle ends the episodes that no longer fire, such as those that fired when the agent
// stopped, if that was too long ago to resume them.
func (p *Past) Settle(fires func(key string) bool, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.live {
		if !fires(key) {
			p.end(key, at, nil)
		}
	}
}
