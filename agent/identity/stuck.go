// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"sync"
	"time"
)

const (
	// patience is how long a process's memory is waited for: reading arguments
	// takes microseconds. Whoever asks holds up a tick.
	patience = 100 * time.Millisecond
	// maxStuck bounds the readings that hang at a time, each of which keeps a
	// thread of headroom in the kernel.
	maxStuck = 16
)

// stuck keeps a process whose memory nobody can read from stopping everybody who
// asks for its name. The kernel reads arguments from memory, under a lock that a
// thread may hold while it waits for a page from a dead file server.
type stuck struct {
	mu   sync.Mutex
	pids map[int]bool // whose readings were not waited for
}

func newStuck() *stuck { return &stuck{pids: make(map[int]bool)} }

// wait returns what read does; ok is false when that takes too long. Then nobody
// reads of this process until it has come back.
func (s *stuck) wait(pid int, read func() []string) (words []string, ok bool) {
	s.mu.Lock()
	hopeless := s.pids[pid] || len(s.pids) >= maxStuck
	s.mu.Unlock()
	if hopeless {
		return nil, false
	}
	answer := make(chan []string, 1)
	var back, late bool // under mu
	go func() {
		words := read()
		s.mu.Lock()
		defer s.mu.Unlock()
		if back = true; late {
			delete(s.pids, pid)
		}
		answer <- words
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case words := <-answer:
		return words, true
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if back {
		return <-answer, true
	}
	late, s.pids[pid] = true, true
	return nil, false
}
