// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/headroom-project/headroom/agent/files"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/store"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// The files of the store, and the version of the one with findings.
const (
	historyFile, findingsFile = "history", "findings"
	findingsVersion           = 1
)

const (
	// saveFindings is how soon findings that changed are on the disk.
	saveFindings = 10 * time.Second
	// saveHistory is how much of the trends a crash costs. A full one is 6 MiB in
	// its file: 1.7 GB a day are written at the most.
	saveHistory = 5 * time.Minute
	// retry is how soon it is tried again after it failed.
	retry = time.Minute
	// resume is how long after the last save what fired before is not the same any
	// more, and is announced anew: ten minutes after the end of the agent at the least.
	resume = 10*time.Minute + saveHistory
	// patience is how long the end waits for the last save.
	patience = 5 * time.Second
)

// A lives is the state of the findings as it is kept, a life one of them.
type (
	lives = state.Saved[*report.Finding]
	life  = state.SavedEntry[*report.Finding]
)

// A keeper keeps what the agent remembers on a disk, beside the goroutine that
// judges and never in its way. What the disk refuses is said once, tried again and
// again, and costs nothing but what a restart then forgets.
type keeper struct {
	log     *slog.Logger
	history *history.History
	past    *past.Past

	dir   string
	store *store.Store

	mu      sync.Mutex
	saving  *lives // newest state, to be saved
	changed bool
	found   *savedLives // what the store had, until recall takes it
	status  keeperStatus
}

// keeperStatus is what the keeper knows of itself.
type keeperStatus struct {
	on       bool
	trouble  error // why nothing could be saved; nil when it was
	failures int
	saved    time.Time
}

// savedLives is what the file with findings says of those that live.
type savedLives struct {
	savedMoment
	lives lives
}

// savedMoment is when it was saved: the time of day, that of the history, and that
// of the tracker.
type savedMoment struct {
	Wall  time.Time `json:"wall"`
	Clock int64     `json:"clock"`
	Now   float64   `json:"now"`
}

// findingsRecord is one record of that file, one of its three. A moment is the
// first.
type findingsRecord struct {
	Moment  *savedMoment    `json:"moment,omitempty"`
	Life    *life           `json:"life,omitempty"`
	Episode json.RawMessage `json:"episode,omitempty"`
}

// storagePath is the directory by flag, by config, or by systemd, which lists
// several with colons between.
func storagePath(flag, config string) string {
	own, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	return cmp.Or(flag, config, own)
}

// start reads what was kept, and then keeps until ctx ends; the channel is closed
// after the last save.
func (k *keeper) start(ctx context.Context, dir string) <-chan struct{} {
	done := make(chan struct{})
	if dir == "" {
		k.log.Info("no storage is configured: state is lost at a restart", "cure", "--storage.path, storage: in the config, or StateDirectory= of systemd")
		close(done)
		return done
	}
	k.dir = dir
	loaded := make(chan struct{})
	go func() {
		defer close(done)
		k.open()
		close(loaded)
		k.run(ctx)
	}()
	select {
	case <-loaded:
	case <-time.After(patience): // a disk that hangs: what it has is taken in when it comes back
		k.log.Warn("storage does not answer: starting without it", "path", dir)
	}
	return done
}

func (k *keeper) run(ctx context.Context) {
	soon := time.NewTicker(saveFindings)
	defer soon.Stop()
	var next time.Time // the first one says whether it can be done
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
func (k *keeper) open() {
	k.set(func(s *keeperStatus) { s.on = true })
	s, err := store.Open(k.dir)
	if err != nil {
		k.failed(err)
		return
	}
	k.store = s
	k.read(historyFile, history.Version, k.history.Load().Record)
	var found *savedLives
	k.read(findingsFile, findingsVersion, func(text []byte) error { return k.take(text, &found) })
	k.set(func(*keeperStatus) { k.found = found })
}

// take takes in a record of the findings.
func (k *keeper) take(text []byte, found **savedLives) error {
	var r findingsRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	switch {
	case r.Moment != nil:
		*found = &savedLives{savedMoment: *r.Moment, lives: lives{Now: r.Moment.Now}}
	case r.Life != nil && *found != nil:
		(*found).lives.Entries = append((*found).lives.Entries, *r.Life)
	case r.Episode != nil:
		return k.past.Record(r.Episode)
	}
	return nil // of another version
}

// read says of a file what could not be read of it.
func (k *keeper) read(name string, version uint32, each func([]byte) error) {
	err := k.store.Load(name, version, each)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, store.ErrNewer):
		k.log.Error("cannot read saved state: starting empty, the old file is kept as NAME.unread", "path", k.dir, "err", err, "cure", "run the newer version again, and move the file back")
	default:
		k.log.Error("a part of the saved state is lost", "path", k.dir, "err", err)
	}
}

// save writes the findings if they changed, and everything when all is due. After
// a failure the store is opened anew: the directory may be another one.
func (k *keeper) save(all bool) {
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
			return k.findings(*saving, each)
		})
	}
	if all && err == nil {
		err = k.store.Save(historyFile, history.Version, k.history.Records)
	}
	if err != nil {
		k.close()
		k.failed(err)
	} else if changed || all {
		k.succeeded()
	}
}

func (k *keeper) findings(now lives, each func([]byte) error) error {
	record := func(r findingsRecord) error {
		text, err := json.Marshal(r)
		if err != nil {
			return err // a report of them could not be made either
		}
		return each(text)
	}
	if err := record(findingsRecord{Moment: &savedMoment{Wall: time.Now().UTC(), Clock: k.history.Now(), Now: now.Now}}); err != nil {
		return err
	}
	for i := range now.Entries {
		if err := record(findingsRecord{Life: &now.Entries[i]}); err != nil {
			return err
		}
	}
	return k.past.Records(func(text []byte) error { return record(findingsRecord{Episode: text}) })
}

func (k *keeper) close() {
	if k.store != nil {
		_ = k.store.Close() // the lock ends with the process as well
		k.store = nil
	}
}

// failed says what is wrong, once until it is something else.
func (k *keeper) failed(err error) {
	first := false
	k.set(func(s *keeperStatus) {
		first = s.trouble == nil || s.trouble.Error() != err.Error()
		s.trouble = err
		s.failures++
	})
	if first {
		k.log.Error("cannot save state: continuing in memory and retrying", "path", k.dir, "err", err, "cure", cureOf(err))
	}
}

func (k *keeper) succeeded() {
	was := error(nil)
	k.set(func(s *keeperStatus) { was, s.trouble, s.saved = s.trouble, nil, time.Now() })
	if was != nil {
		k.log.Info("saving state works again", "path", k.dir)
	}
}

func cureOf(err error) string {
	switch {
	case errors.Is(err, store.ErrInUse):
		return "give this agent a directory of its own, or end the other one"
	case errors.Is(err, files.ErrUnsafe):
		return "use a directory that only the user of the agent can change, such as /var/lib/headroom"
	case errors.Is(err, fs.ErrPermission):
		return "let the user of the agent write there"
	case errors.Is(err, fs.ErrNotExist):
		return "make the directory"
	}
	return "make room on the disk, or mount it for writing"
}

func (k *keeper) set(change func(*keeperStatus)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.status)
}

func (k *keeper) now() keeperStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// gaps say that a restart will forget.
func (k *keeper) gaps() []observe.Gap {
	s := k.now()
	if s.trouble == nil {
		return nil
	}
	return []observe.Gap{{Source: "storage", Reason: fmt.Sprintf("what the agent remembers is not kept: %v", s.trouble), Cure: cureOf(s.trouble)}}
}

// awaitSave lets the last save end, unless the disk hangs.
func awaitSave(kept <-chan struct{}, log *slog.Logger) {
	select {
	case <-kept:
	case <-time.After(patience):
		log.Warn("storage does not answer: unsaved state is lost")
	}
}
