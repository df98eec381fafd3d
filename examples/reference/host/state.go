// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// dir is the folder for all files of the shop. It is on a disk, because a database
// needs one. Its parent belongs to root, so that no other user can create the folder
// first.
const dir = "/var/lib/headroom-reference"

func in(elems ...string) string { return filepath.Join(append([]string{dir}, elems...)...) }

// A state lists the processes, containers and cgroups of the shop, for down. It is
// written before they exist.
type state struct {
	mu sync.Mutex

	Services   []startedService `json:"services"`
	Containers []container      `json:"containers"`
	// Absent are the parents of the containers' cgroups that did not exist before.
	Absent   []string          `json:"absent"`
	Password string            `json:"password"` // of the database
	Faults   map[string]string `json:"faults"`   // switched on, with their level
}

// A startedService is a process, identified by its pid and its start time, which
// together are unique.
type startedService struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

func newState() *state {
	return &state{Password: randomHex(16), Faults: map[string]string{}}
}

func readState() (*state, error) {
	text, err := os.ReadFile(in("state.json"))
	if err != nil {
		return nil, err
	}
	s := newState()
	return s, json.Unmarshal(text, s)
}

// save replaces the file atomically: a crash leaves the old one or the new one.
func (s *state) save() error {
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(in("state.new"), text, 0o600); err != nil {
		return err
	}
	return os.Rename(in("state.new"), in("state.json"))
}

func (s *state) started(service startedService) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Services = append(s.Services, service)
	return s.save()
}

// lock keeps two commands from working on the shop at the same time. The lock ends
// with the process.
func lock() (func(), error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close() //nolint:errcheck // read only
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another command is working on the shop")
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil //nolint:errcheck // read only
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) //nolint:errcheck // never fails
	return hex.EncodeToString(b)
}

func uuid() string {
	h := randomHex(16)
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
