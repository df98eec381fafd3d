// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Shared describes an answer that is the same for all clients.
type Shared struct {
	// Version returns a comparable value that changes when the answer does.
	Version func() any
	// Variant returns the form of the answer that a request asks for; nil if there is
	// one form. There are few forms.
	Variant func(*http.Request) string
	// Queries are the query strings whose answers are shared too. Answers to other
	// queries are rendered for each request.
	Queries []string
}

// answers renders, shares and sends answers. An answer is complete in memory, and
// its slot free, before the first byte is sent.
type answers struct {
	server       *Server
	slots        chan struct{} // of shared answers
	querySlots   chan struct{}
	querySeats   *seats
	queryRates   *rates
	maxBytes     int
	wait, keepIt time.Duration

	mu      sync.Mutex
	bytes   int
	entries map[entryKey]*entry
}

type entryKey struct{ path, query, variant string }

// An entry is a shared answer that is rendered or being rendered.
type entry struct {
	version any
	ready   chan struct{} // closed when answer and err are set
	answer  *answer
	err     error
}

// maxEntries is the maximum number of shared answers kept, in all forms.
const maxEntries = 16

func newAnswers(s *Server) *answers {
	l := s.limits
	return &answers{
		server: s, maxBytes: l.AnswerBytes, wait: l.Wait, keepIt: l.Keep,
		slots: make(chan struct{}, l.Renderings), querySlots: make(chan struct{}, l.Renderings),
		querySeats: newSeats(l.Queries, l.AddressQueries, l.Grace),
		queryRates: newRates(l.QueriesPerSecond/2, l.QueriesPerSecond),
		entries:    make(map[entryKey]*entry),
	}
}

var (
	errBusy   = errors.New("too many requests under way: try again in a second")
	errMemory = errors.New("memory for answers is used up: try again in a second")
	errLarge  = errors.New("the answer is too large")
	errRender = errors.New("the answer could not be rendered")
)

// handler bounds the answers of next. Paths that are not shared have short answers.
func (a *answers) handler(next http.Handler, shared map[string]Shared) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sh, ok := shared[r.URL.Path]
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		t := newTransfer(w)
		defer t.end()
		a.serve(t, w, r, sh, next)
	})
}

func (a *answers) serve(t *transfer, w http.ResponseWriter, r *http.Request, sh Shared, next http.Handler) {
	addr := network(r.RemoteAddr)
	query, ok := sh.shares(r.URL.RawQuery)
	if !ok {
		if !a.queryRates.allow(addr) {
			a.fail(w, errBusy)
			return
		}
		seat, _ := a.querySeats.take(addr, t.cut)
		if seat == nil {
			a.fail(w, errBusy)
			return
		}
		defer seat.leave()
	}
	answer, err := a.find(r, sh, query, ok, next)
	if err != nil {
		a.fail(w, err)
		return
	}
	defer a.release(answer)
	seat, _ := a.server.sending.take(addr, t.cut)
	if seat == nil {
		a.fail(w, errBusy)
		return
	}
	defer seat.leave()
	a.server.send(t, w, r, answer)
}

// shares reports whether the answer to a query is shared.
func (sh Shared) shares(raw string) (query string, ok bool) {
	if raw == "" {
		return "", true
	}
	for _, q := range sh.Queries {
		if q == raw {
			return q, true
		}
	}
	return "", false
}

// find returns an answer; the caller releases it.
func (a *answers) find(r *http.Request, sh Shared, query string, share bool, next http.Handler) (*answer, error) {
	if !share {
		return a.render(r, next, a.querySlots)
	}
	key := entryKey{path: r.URL.Path, query: query}
	if sh.Variant != nil {
		key.variant = sh.Variant(r)
	}
	e, own := a.entry(key, sh.Version())
	if own {
		return a.fill(key, e, r, next)
	}
	select {
	case <-e.ready:
	case <-r.Context().Done():
		return nil, errBusy
	}
	if e.err != nil {
		return nil, e.err
	}
	a.hold(e.answer)
	return e.answer, nil
}

// entry returns the shared answer of a key. own reports whether the caller must
// fill it.
func (a *answers) entry(key entryKey, version any) (e *entry, own bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.entries[key]; e != nil && e.version == version {
		return e, false
	}
	if a.entries[key] == nil && len(a.entries) >= maxEntries {
		a.dropEntries()
	}
	a.dropEntry(key)
	e = &entry{version: version, ready: make(chan struct{})}
	a.entries[key] = e
	return e, true
}

// fill renders a shared answer for all requests that wait for it.
func (a *answers) fill(key entryKey, e *entry, r *http.Request, next http.Handler) (*answer, error) {
	e.err = errRender // overwritten if next returns
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		close(e.ready)
		if a.entries[key] != e {
			return // replaced in the meantime
		}
		if e.err != nil || e.answer.status != http.StatusOK {
			delete(a.entries, key) // errors are not cached
			return
		}
		e.answer.holders++
		time.AfterFunc(a.keepIt, func() { a.expire(key, e) })
	}()
	e.answer, e.err = a.render(r, next, a.slots)
	return e.answer, e.err
}

func (a *answers) expire(key entryKey, e *entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.entries[key] == e {
		a.dropEntry(key)
	}
}

// render runs next in one of the slots and returns an answer with one holder.
func (a *answers) render(r *http.Request, next http.Handler, slots chan struct{}) (*answer, error) {
	timer := time.NewTimer(a.wait)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
	case <-timer.C:
		return nil, errBusy
	}
	answer, err := a.run(r, next, slots)
	if err != nil {
		return nil, err
	}
	if !a.reserve(answer) {
		return nil, errMemory
	}
	return answer, nil
}

func (a *answers) run(r *http.Request, next http.Handler, slots chan struct{}) (*answer, error) {
	defer func() { <-slots }()
	rec := newRecorder(a.maxBytes / 2)
	// Other requests may wait for this answer: it must outlive the client that asked
	// first, and is compressed here.
	r = r.Clone(context.WithoutCancel(r.Context()))
	r.Header.Del("Accept-Encoding")
	next.ServeHTTP(rec, r)
	return rec.answer()
}

// pressure is the maximum time to wait for memory for an answer.
const pressure = time.Second

// reserve counts an answer's memory. If the limit is reached, it drops cached
// answers, then ends the transfers that are slowest.
func (a *answers) reserve(x *answer) bool {
	for end := time.Now().Add(pressure); ; time.Sleep(5 * time.Millisecond) {
		a.mu.Lock()
		if a.bytes+len(x.body) > a.maxBytes {
			a.dropEntries()
		}
		fits := a.bytes+len(x.body) <= a.maxBytes
		if fits {
			a.bytes += len(x.body)
			x.holders = 1
		}
		a.mu.Unlock()
		if fits {
			return true
		}
		if time.Now().After(end) || !a.server.sending.cutOne() {
			return false
		}
	}
}

func (a *answers) hold(x *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.holders == 0 {
		a.bytes += len(x.body)
	}
	x.holders++
}

func (a *answers) release(x *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releaseLocked(x)
}

func (a *answers) releaseLocked(x *answer) {
	if x.holders--; x.holders == 0 {
		a.bytes -= len(x.body)
	}
}

// dropEntry removes an answer from the cache; transfers that send it still hold it.
func (a *answers) dropEntry(key entryKey) {
	e := a.entries[key]
	if e == nil {
		return
	}
	delete(a.entries, key)
	select {
	case <-e.ready:
		a.releaseLocked(e.answer)
	default: // fill sees that it was replaced
	}
}

// dropEntries removes all rendered answers from the cache.
func (a *answers) dropEntries() {
	for key, e := range a.entries {
		select {
		case <-e.ready:
			a.dropEntry(key)
		default:
		}
	}
}

func (a *answers) held() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes
}

// fail answers a request with the error that prevented an answer.
func (a *answers) fail(w http.ResponseWriter, err error) {
	p := &problem{Busy, http.StatusServiceUnavailable, err.Error()}
	switch {
	case errors.Is(err, errMemory):
		p.reason = Memory
	case errors.Is(err, errLarge), errors.Is(err, errRender):
		p.reason, p.status = Memory, http.StatusInternalServerError
	}
	a.server.reject(w, p)
}
