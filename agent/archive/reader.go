// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Reader gives back the snapshots of a recording.
type Reader struct {
	header   Header
	lines    *json.Decoder
	index    *observe.Index
	snapshot *observe.Snapshot
	metrics  map[string]*observe.Metric
	ids      map[observe.ID]observe.ID // the recording's numbers to ours
}

// zstdMagic begins every compressed recording (RFC 8878 §3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// maxDecoded bounds what decompression may take in memory at a time.
const maxDecoded = 256 << 20

// NewReader begins to read a recording, compressed or plain. What is no
// recording is ErrForeign.
func NewReader(r io.Reader) (*Reader, error) {
	buffered := bufio.NewReader(r)
	var plain io.Reader = buffered
	if magic, err := buffered.Peek(len(zstdMagic)); err == nil && bytes.Equal(magic, zstdMagic) {
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoded))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForeign, err)
		}
		plain = z
	}
	ar := &Reader{lines: json.NewDecoder(plain), metrics: catalog.ByKey(), ids: make(map[observe.ID]observe.ID)}
	if err := ar.lines.Decode(&ar.header); err != nil {
		return nil, fmt.Errorf("%w: no header (%w)", ErrForeign, err)
	}
	if ar.header.Schema != Schema {
		return nil, fmt.Errorf("%w: its first line says schema %q, this tool reads %q", ErrForeign, ar.header.Schema, Schema)
	}
	ar.index = observe.NewIndex(observe.DefaultLimit)
	ar.snapshot = observe.NewSnapshot(ar.index)
	return ar, nil
}

// Header is the recording's first line.
func (r *Reader) Header() Header { return r.header }

// Index interns the recording's entities.
func (r *Reader) Index() *observe.Index { return r.index }

// Next returns the next snapshot, valid until the next call, or io.EOF.
func (r *Reader) Next() (*observe.Snapshot, error) {
	var f frame
	switch err := r.lines.Decode(&f); {
	case err == io.EOF: //nolint:errorlint // Decode returns it bare, and only between lines
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w after %s", ErrTruncated, r.snapshot.Time.Format(time.RFC3339))
	case err != nil:
		return nil, fmt.Errorf("reading a snapshot: %w", err)
	}
	if err := r.fill(&f); err != nil {
		return nil, fmt.Errorf("reading the snapshot of %s: %w", f.Time.Format(time.RFC3339), err)
	}
	return r.snapshot, nil
}

func (r *Reader) fill(f *frame) error {
	s := r.snapshot
	s.Reset()
	s.Time, s.Monotonic, s.BootTime = f.Time, time.Duration(f.Monotonic), time.Duration(f.BootTime)
	s.Gaps = append(s.Gaps, f.Gaps...)
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
		kind, err := observe.ParseEntityKind(e.Kind)
		if err != nil {
			return err
		}
		info := observe.Info{Attrs: e.Attrs}
		if e.ParentKind != "" {
			parent, err := observe.ParseEntityKind(e.ParentKind)
			if err != nil {
				return err
			}
			info.Parent = observe.Entity{Kind: parent, ID: e.Parent}
		}
		id := r.index.ID(observe.Entity{Kind: kind, ID: e.ID})
		r.ids[e.N] = id
		r.index.Describe(id, info)
	}
	return nil
}

// id translates an entity's number.
func (r *Reader) id(n observe.ID) (observe.ID, error) {
	id, ok := r.ids[n]
	if !ok {
		return observe.None, fmt.Errorf("entity %d was never described", n)
	}
	return id, nil
}

func (r *Reader) column(c column) error {
	if len(c.N) != len(c.V) {
		return fmt.Errorf("%s has %d entities and %d values", c.Metric, len(c.N), len(c.V))
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
		r.snapshot.Set(m, id, c.V[i])
	}
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
		return fmt.Errorf("%s: buckets, counts and sums differ in number", c.Metric)
	}
	h := r.snapshot.Hist(m, id)
	for i, b := range c.Buckets {
		if b < 0 || b >= len(h.Count) {
			return fmt.Errorf("%s has no bucket %d", c.Metric, b)
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
		return fmt.Errorf("%s: pairs and values differ in number", c.Metric)
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
		r.snapshot.SetPair(m, a, b, c.V[i])
	}
	return nil
}

func (r *Reader) events(f *frame) error {
	for _, st := range f.Stalls {
		loop, err := r.id(st.N)
		if err != nil {
			return fmt.Errorf("a stall: %w", err)
		}
		r.snapshot.Stalls = append(r.snapshot.Stalls, observe.Stall{Loop: loop, Start: st.Start,
			Duration: st.Duration, Parts: st.Parts, Syscall: st.Syscall, InProgress: st.InProgress})
	}
	for _, e := range f.Ended {
		id, err := r.id(e.N)
		if err != nil {
			return fmt.Errorf("an ended entity: %w", err)
		}
		r.snapshot.End(id, e.Reason)
	}
	return nil
}
