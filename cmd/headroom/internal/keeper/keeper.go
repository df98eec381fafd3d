// SPDX-License-Identifier: Apache-2.0

// Package keeper saves the agent's state in a directory: history, findings and past
// episodes. It restores them after a restart. It runs in a goroutine of its own, so
// that a slow disk delays no evaluation, and it judges nothing.
package keeper

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/store"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

const (
	// saveFindings is the interval at which changed findings are saved.
	saveFindings = 10 * time.Second
	// saveHistory is how much of the trends a crash costs. A full history is 6 MiB in
	// its file: at most 1.7 GB are written a day.
	saveHistory = 5 * time.Minute
	// retry is the interval of attempts after one failed.
	retry = time.Minute
	// patience is how long start waits for a disk that does not answer, lastPatience
	// how long the end waits: a full history is written in a fraction of a second, and
	// a restart of the agent waits for it.
	patience     = 5 * time.Second
	lastPatience = 2 * time.Second
)

// Options are the parts of the agent whose state is saved.
type Options struct {
	Log     *slog.Logger
	History *history.History
	Past    *past.Past
}

// A Keeper saves and restores state. An error of the disk is logged once, reported
// as a gap, and tried again: the agent goes on in memory.
type Keeper struct {
	Options
	dir   string
	store *store.Store
	done  chan struct{} // closed after the last save

	mu      sync.Mutex
	saving  *findings // newest state, to be saved
	changed bool
	found   *savedFindings // what the store had, until Resume takes it
	status  status
}

type (
	// findings is the state of the tracker, finding that of one of them.
	findings = state.Saved[*report.Finding]
	finding  = state.SavedEntry[*report.Finding]
	// Tracker follows the findings that are saved and restored.
	Tracker = state.Tracker[*report.Finding]
)

// New returns a Keeper that saves nothing until Start.
func New(o Options) *Keeper { return &Keeper{Options: o, done: make(chan struct{})} }

// Path returns the directory for the state: that of the flag, of the config, or of
// systemd, which separates several with colons.
func Path(flag, config string) string {
	own, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	return cmp.Or(flag, config, own)
}

// Start restores the state from dir and then saves it there until ctx ends. Without
// a directory it saves nothing. It is called once.
func (k *Keeper) Start(ctx context.Context, dir string) {
	if dir == "" {
		k.Log.Info("no storage is configured: state is lost at a restart", "cure", "--storage.path, storage: in the config, or StateDirectory= of systemd")
		close(k.done)
		return
	}
	k.dir = dir
	loaded := make(chan struct{})
	go func() {
		defer close(k.done)
		k.open()
		close(loaded)
		k.run(ctx)
	}()
	select {
	case <-loaded:
	case <-time.After(patience): // what the disk has is restored when it answers
		k.Log.Warn("storage does not answer: starting without it", "path", dir)
	}
}

// Wait waits for the last save, which begins when the context of Start ends, unless
// the disk does not answer.
func (k *Keeper) Wait() {
	select {
	case <-k.done:
	case <-time.After(lastPatience):
		k.Log.Warn("storage does not answer: state that was not saved is lost", "path", k.dir, "waited", lastPatience,
			"findings", "changes of up to "+saveFindings.String(), "history", "up to "+saveHistory.String())
	}
}

func (k *Keeper) run(ctx context.Context) {
	soon := time.NewTicker(saveFindings)
	defer soon.Stop()
	var next time.Time // of all; the first attempt is due at once, and tells whether saving works
	for {
		select {
		case <-ctx.Done():
			k.save(true)
			k.close()
			return
		case <-soon.C:
		}
		due := !time.Now().Before(next)
		if k.now().trouble != nil && !due {
			continue
		}
		k.save(due)
		switch {
		case k.now().trouble != nil:
			next = time.Now().Add(retry)
		case due:
			next = time.Now().Add(saveHistory)
		}
	}
}

// open opens the store and reads it.
func (k *Keeper) open() {
	k.set(func(s *status) { s.on = true })
	s, err := store.Open(k.dir)
	if err != nil {
		k.failed(err)
		return
	}
	k.store = s
	k.read(historyFile, history.Version, k.History.Load().Record)
	var found *savedFindings
	k.read(findingsFile, findingsVersion, func(text []byte) error { return k.take(text, &found) })
	k.set(func(*status) { k.found = found })
}

// read reads a file, and logs what could not be read of it.
func (k *Keeper) read(name string, version uint32, each func([]byte) error) {
	err := k.store.Load(name, version, each)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, store.ErrNewer):
		k.Log.Error("cannot read saved state: starting empty, the old file is kept as NAME.unread", "path", k.dir, "err", err, "cure", "run the newer version again, and move the file back")
	default:
		k.Log.Error("a part of the saved state is lost", "path", k.dir, "err", err)
	}
}

// save writes the findings if they changed, and the history too when all is due.
// After a failure the store is opened again: the directory may be another one.
func (k *Keeper) save(all bool) {
	if k.store == nil {
		if k.open(); k.store == nil {
			return
		}
		all = true
	}
	k.mu.Lock()
	saving, changed := k.saving, k.changed
	k.changed = false
	k.mu.Unlock()
	var err error
	if saving != nil && (changed || all) {
		err = k.store.Save(findingsFile, findingsVersion, func(each func([]byte) error) error {
			return k.records(*saving, each)
		})
	}
	if all && err == nil {
		err = k.store.Save(historyFile, history.Version, k.History.Records)
	}
	if err != nil {
		k.close()
		k.failed(err)
	} else if changed || all {
		k.succeeded()
	}
}

func (k *Keeper) close() {
	if k.store != nil {
		_ = k.store.Close() // the lock ends with the process as well
		k.store = nil
	}
}
