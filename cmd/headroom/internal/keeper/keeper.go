// SPDX-License-Identifier: Apache-2.0

// Package keeper saves the agent's state in a directory: history, findings and past
// episodes. It restores them after a restart. It runs in its own goroutine, so that
// a slow disk does not delay evaluations.
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
	// saveHistory is the interval at which the history is saved; a crash loses as
	// much. A full history is a file of 6 MiB: at most 1.7 GB are written per day.
	saveHistory = 5 * time.Minute
	// retry is the interval of attempts after a failure.
	retry = time.Minute
	// patience is how long Start waits for a disk that does not answer, lastPatience
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

// A Keeper saves and restores state. It logs a disk error once, reports it as a
// gap, and retries: meanwhile the agent continues in memory.
type Keeper struct {
	Options
	dir   string
	store *store.Store
	done  chan struct{} // closed after the last save

	mu      sync.Mutex
	saving  *findings // newest state to save
	changed bool
	found   *savedFindings // what the store contained, until Resume uses it
	status  status
}

type (
	// findings is the state of the tracker, finding that of one finding.
	findings = state.Saved[*report.Finding]
	finding  = state.SavedEntry[*report.Finding]
	// Tracker tracks the findings that are saved and restored.
	Tracker = state.Tracker[*report.Finding]
)

// New returns a Keeper that saves nothing until Start.
func New(o Options) *Keeper { return &Keeper{Options: o, done: make(chan struct{})} }

// Path returns the state directory from the flag, the config, or systemd, which
// separates several with colons.
func Path(flag, config string) string {
	own, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	return cmp.Or(flag, config, own)
}

// Start restores the state from dir and then saves it there until ctx ends. Without
// a directory it saves nothing. It must be called once only.
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
	case <-time.After(patience): // the state is restored when the disk answers
		k.Log.Warn("storage does not answer: starting without it", "path", dir)
	}
}

// Wait waits for the last save, which starts when the context of Start ends, unless
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
	var next time.Time // of a full save; the first is due at once and shows whether saving works
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

// save saves the findings if they changed, and with all set the history too. After
// a failure the store is opened again: the directory may be a different one.
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
		_ = k.store.Close() // the process ends and releases the lock anyway
		k.store = nil
	}
}
