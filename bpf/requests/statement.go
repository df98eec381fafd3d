// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
)

// A Statement is calls of one upstream whose statements differ in literals only.
type Statement struct {
	// Hash identifies it until the probe is closed. It is keyed with a secret of the probe.
	Hash uint64
	// Calls is the number of those that were answered, and Time the sum of the times until
	// their answers arrived.
	Calls uint64
	Time  time.Duration
}

// maxStatements is the maximum number of statements of an upstream that are reported.
const maxStatements = 8

// statements computes the increases between two readings of the kernel's map. That map
// forgets what was not used for long.
type statements struct {
	last, now map[requestsStatementKey]requestsStatement
	found     map[uint32][]Statement // by the slot of their upstream
	keys      []requestsStatementKey
	values    []requestsStatement
}

func (s *statements) init(most int) {
	s.last, s.now = make(map[requestsStatementKey]requestsStatement), make(map[requestsStatementKey]requestsStatement)
	s.found = make(map[uint32][]Statement)
	s.keys, s.values = make([]requestsStatementKey, most), make([]requestsStatement, most)
}

// read reads the statements of all upstreams. wanted is false if there are none.
func (s *statements) read(m *ebpf.Map, wanted bool) error {
	clear(s.found)
	s.last, s.now = s.now, s.last
	clear(s.now)
	if !wanted {
		return nil
	}
	var cursor ebpf.MapBatchCursor
	n, err := m.BatchLookup(&cursor, s.keys, s.values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("reading statements: %w", err)
	}
	for i, k := range s.keys[:n] {
		v, before := s.values[i], s.last[k]
		s.now[k] = v
		if v.Calls < before.Calls {
			before = requestsStatement{} // it was forgotten meanwhile
		}
		if v.Calls > before.Calls {
			s.found[k.Slot] = append(s.found[k.Slot], Statement{k.Hash, v.Calls - before.Calls, time.Duration(v.Ns - before.Ns)})
		}
	}
	return nil
}

// of returns the most frequent statements of an upstream since the last reading.
func (s *statements) of(slot uint32) []Statement {
	all := s.found[slot]
	slices.SortFunc(all, func(a, b Statement) int { return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Hash, b.Hash)) })
	return all[:min(len(all), maxStatements)]
}

// drop removes the statements of an upstream.
func (s *statements) drop(m *ebpf.Map, slot uint32) {
	for k := range s.now {
		if k.Slot == slot {
			delete(s.now, k)
			_ = m.Delete(k)
		}
	}
}
