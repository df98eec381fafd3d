// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Reader reads the snapshots of a recording.
type Reader struct {
	header   Header
	lines    *lines
	index    *observe.Index
	snapshot *observe.Snapshot
	metrics  map[string]*observe.Metric
	ids      map[observe.ID]observe.ID // from the recording's numbers to IDs of index

	rewrite func(attrs map[string]string)

	snapshots, ended int
	gaps             map[observe.Gap]bool
	loops            map[observe.ID]bool
}

// NewReader opens a recording, compressed or plain. It returns ErrForeign for other
// files.
func NewReader(r io.Reader) (*Reader, error) {
	in, err := newLines(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	ar := &Reader{lines: in, metrics: catalog.ByKey(), ids: make(map[observe.ID]observe.ID),
		gaps: make(map[observe.Gap]bool), loops: make(map[observe.ID]bool)}
	if err := ar.readHeader(); err != nil {
		return nil, err
	}
	ar.index = observe.NewIndex(maxEntities)
	ar.snapshot = observe.NewSnapshot(ar.index)
	return ar, nil
}

// Rewrite makes f change the attributes of entities before they are interned.
func (r *Reader) Rewrite(f func(attrs map[string]string)) { r.rewrite = f }

func (r *Reader) readHeader() error {
	line, err := r.lines.next(maxHeader)
	if errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w: no header (%w)", ErrForeign, err)
	}
	if jsonErr := json.Unmarshal(line, &r.header); jsonErr != nil {
		return fmt.Errorf("%w: no header (%w)", ErrForeign, cmp.Or(err, jsonErr))
	}
	switch known, _ := path.Split(Schema); {
	case r.header.Schema == Schema:
	case strings.HasPrefix(r.header.Schema, known):
		return fmt.Errorf("%w that this version reads: its format is %.40q, this version reads %q; use the version that wrote it (%.40q) or a newer one",
			ErrForeign, r.header.Schema, Schema, r.header.Tool)
	default:
		return fmt.Errorf("%w: its first line says schema %.40q, this tool reads %q", ErrForeign, r.header.Schema, Schema)
	}
	if err := r.header.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// Header returns the recording's first line.
func (r *Reader) Header() Header { return r.header }

// Index returns the index of the recording's entities.
func (r *Reader) Index() *observe.Index { return r.index }

// Next returns the next snapshot, valid until the next call, or io.EOF. It returns
// Incomplete if the rest of the recording cannot be read, and ErrTooLarge for one
// that exceeds a limit.
func (r *Reader) Next() (*observe.Snapshot, error) {
	at := r.snapshot.Time
	err := r.next()
	if err == nil {
		r.snapshots++
		return r.snapshot, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, ErrTooLarge) {
		return nil, err
	}
	return nil, &Incomplete{Snapshots: r.snapshots, Last: at, Err: err}
}

func (r *Reader) next() error {
	line, err := r.lines.next(maxLine)
	for blank := 0; err == nil && len(bytes.TrimSpace(line)) == 0 && blank < maxBlank; blank++ {
		line, err = r.lines.next(maxLine)
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	case errors.Is(err, io.EOF), errors.Is(err, ErrTooLarge):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := checkSize(line); err != nil {
		return err
	}
	var f frame
	if err := json.Unmarshal(line, &f); err != nil {
		if endsEarly(line, err) {
			return ErrTruncated
		}
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := errors.Join(r.checkTime(&f), r.count(&f)); err != nil {
		return err
	}
	return r.fill(&f)
}

func (r *Reader) fill(f *frame) error {
	s := r.snapshot
	s.Reset()
	s.Time, s.Monotonic, s.BootTime = f.Time, time.Duration(f.Monotonic), time.Duration(f.BootTime)
	for _, g := range f.Gaps {
		if err := checkTexts(g.Source, g.Reason, g.Cure, g.Process); err != nil {
			return err
		}
		s.Gaps = append(s.Gaps, g)
	}
	if err := r.describe(f.Entities); err != nil {
		return err
	}
	for _, c := range f.Columns {
		if err := r.column(c); err != nil {
			return err
		}
	}
	for _, h := range f.Hists {
		if err := r.histogram(h); err != nil {
			return err
		}
	}
	for _, c := range f.Pairs {
		if err := r.pairs(c); err != nil {
			return err
		}
	}
	return r.events(f)
}

func (r *Reader) describe(es []entity) error {
	for _, e := range es {
		if err := e.check(); err != nil {
			return err
		}
		kind, err := observe.ParseEntityKind(e.Kind)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if r.rewrite != nil {
			r.rewrite(e.Attrs)
		}
		info := observe.Info{Attrs: e.Attrs}
		if e.ParentKind != "" {
			parent, err := observe.ParseEntityKind(e.ParentKind)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			info.Parent = observe.Entity{Kind: parent, ID: e.Parent}
		}
		id := r.index.ID(observe.Entity{Kind: kind, ID: e.ID})
		r.ids[e.N] = id
		r.index.Describe(id, info)
	}
	return nil
}

// id returns the ID for an entity's number in the recording.
func (r *Reader) id(n observe.ID) (observe.ID, error) {
	id, ok := r.ids[n]
	if !ok {
		return observe.None, fmt.Errorf("%w: entity %d was never described", ErrDamaged, n)
	}
	return id, nil
}

func (r *Reader) column(c column) error {
	if len(c.N) != len(c.V) {
		return fmt.Errorf("%w: %.100s has %d entities and %d values", ErrDamaged, c.Metric, len(c.N), len(c.V))
	}
	m := r.metrics[c.Metric]
	if m == nil || m.Kind == observe.Histogram || m.Kind == observe.PairCounter {
		return nil // a metric of another version
	}
	for i, n := range c.N {
		id, err := r.id(n)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Metric, err)
		}
		if !valid(c.V[i]) {
			r.leaveOut(c.Metric)
			continue
		}
		r.snapshot.Set(m, id, c.V[i])
	}
	before := time.Duration(c.Before) * time.Millisecond
	if before < 0 || before > maxBefore || before >= r.snapshot.Monotonic {
		before = 0
	}
	r.snapshot.SetBefore(m, before)
	return nil
}

func (r *Reader) histogram(c histogram) error {
	m := r.metrics[c.Metric]
	if m == nil || m.Kind != observe.Histogram {
		return nil
	}
	id, err := r.id(c.N)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Metric, err)
	}
	if len(c.Buckets) != len(c.Count) || len(c.Buckets) != len(c.Sum) {
		return fmt.Errorf("%w: %s: buckets, counts and sums differ in number", ErrDamaged, c.Metric)
	}
	h := r.snapshot.Hist(m, id)
	for i, b := range c.Buckets {
		if b < 0 || b >= len(h.Count) {
			return fmt.Errorf("%w: %s has no bucket %d", ErrDamaged, c.Metric, b)
		}
		if !valid(c.Count[i]) || !valid(c.Sum[i]) {
			r.leaveOut(c.Metric)
			continue
		}
		h.Count[b], h.Sum[b] = c.Count[i], c.Sum[i]
	}
	return nil
}

func (r *Reader) pairs(c pairs) error {
	m := r.metrics[c.Metric]
	if m == nil || m.Kind != observe.PairCounter {
		return nil
	}
	if len(c.A) != len(c.V) || len(c.B) != len(c.V) {
		return fmt.Errorf("%w: %s: pairs and values differ in number", ErrDamaged, c.Metric)
	}
	for i := range c.V {
		a, err := r.id(c.A[i])
		if err != nil {
			return fmt.Errorf("%s: %w", c.Metric, err)
		}
		b, err := r.id(c.B[i])
		if err != nil {
			return fmt.Errorf("%s: %w", c.Metric, err)
		}
		if !valid(c.V[i]) {
			r.leaveOut(c.Metric)
			continue
		}
		r.snapshot.SetPair(m, a, b, c.V[i])
	}
	return nil
}

func (r *Reader) events(f *frame) error {
	for _, st := range f.Stalls {
		if err := st.check(); err != nil {
			return err
		}
		loop, err := r.id(st.N)
		if err != nil {
			return fmt.Errorf("a stall: %w", err)
		}
		r.snapshot.Stalls = append(r.snapshot.Stalls, observe.Stall{Loop: loop, Start: st.Start,
			Duration: st.Duration, Parts: st.Parts, Syscall: st.Syscall, InProgress: st.InProgress})
	}
	for _, e := range f.Ended {
		if err := checkTexts(e.Reason); err != nil {
			return err
		}
		id, err := r.id(e.N)
		if err != nil {
			return fmt.Errorf("an ended entity: %w", err)
		}
		r.snapshot.End(id, e.Reason)
	}
	return nil
}
