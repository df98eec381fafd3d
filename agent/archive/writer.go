// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/headroom-project/headroom/agent/observe"
)

// A Writer writes a recording.
type Writer struct {
	compressed *zstd.Encoder
	lines      *json.Encoder
	written    []int // the revision of each entity that was written, by ID; -1 for none
}

// NewWriter starts a compressed recording in w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	// One goroutine and a small window: a recording is written on the host that it
	// observes.
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("starting compression: %w", err)
	}
	aw, err := NewPlainWriter(z, h)
	if err != nil {
		return nil, err
	}
	aw.compressed = z
	return aw, aw.flush() // detects a full disk now
}

// NewPlainWriter starts a recording that people can read, for test data.
func NewPlainWriter(w io.Writer, h Header) (*Writer, error) {
	h.Schema = Schema
	aw := &Writer{lines: json.NewEncoder(w)}
	aw.lines.SetEscapeHTML(false)
	if err := aw.lines.Encode(h); err != nil {
		return nil, fmt.Errorf("writing the recording's header: %w", err)
	}
	return aw, nil
}

// Write appends one snapshot.
func (w *Writer) Write(s *observe.Snapshot) error {
	f := frame{Time: s.Time, Monotonic: int64(s.Monotonic), BootTime: int64(s.BootTime), Gaps: s.Gaps}
	f.Entities = w.changed(s.Index)
	for _, m := range s.Metrics() {
		switch m.Kind {
		case observe.Histogram:
			f.Hists = append(f.Hists, histograms(s, m)...)
		case observe.PairCounter:
			f.Pairs = append(f.Pairs, pairColumn(s, m))
		default:
			f.Columns = append(f.Columns, valueColumn(s, m))
		}
	}
	for _, st := range s.Stalls {
		f.Stalls = append(f.Stalls, stall{st.Loop, st.Start, st.Duration, st.Parts, st.Syscall, st.InProgress})
	}
	for _, e := range s.Ended {
		f.Ended = append(f.Ended, ended{e.ID, e.Reason})
	}
	if err := w.lines.Encode(f); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	return w.flush()
}

// flush makes every snapshot readable as soon as it is written: a recording that is
// cut off by a crash keeps all earlier ones.
func (w *Writer) flush() error {
	if w.compressed == nil {
		return nil
	}
	if err := w.compressed.Flush(); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	return nil
}

// changed returns the entities that are new or were described again.
func (w *Writer) changed(x *observe.Index) []entity {
	var es []entity
	for id := observe.ID(0); int(id) < x.Len(); id++ {
		revision := x.Revision(id)
		if int(id) == len(w.written) {
			w.written = append(w.written, -1)
		}
		if w.written[id] == revision {
			continue
		}
		w.written[id] = revision
		e, info := x.Entity(id), x.Info(id)
		line := entity{N: id, Kind: e.Kind.String(), ID: e.ID, Attrs: info.Attrs}
		if info.Parent != (observe.Entity{}) {
			line.ParentKind, line.Parent = info.Parent.Kind.String(), info.Parent.ID
		}
		es = append(es, line)
	}
	return es
}

func valueColumn(s *observe.Snapshot, m *observe.Metric) column {
	c := column{Metric: m.Key(), Before: s.Before(m).Milliseconds()}
	for id, v := range s.Values(m) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue // JSON cannot represent them, and samplers do not report them
		}
		c.N, c.V = append(c.N, id), append(c.V, v)
	}
	return c
}

func histograms(s *observe.Snapshot, m *observe.Metric) []histogram {
	var hs []histogram
	for id, h := range s.Hists(m) {
		line := histogram{Metric: m.Key(), N: id, Buckets: []int{}}
		for i := range h.Count {
			if h.Count[i] > 0 {
				line.Buckets = append(line.Buckets, i)
				line.Count = append(line.Count, h.Count[i])
				line.Sum = append(line.Sum, h.Sum[i])
			}
		}
		hs = append(hs, line)
	}
	return hs
}

func pairColumn(s *observe.Snapshot, m *observe.Metric) pairs {
	c := pairs{Metric: m.Key()}
	for p, v := range s.Pairs(m) {
		c.A, c.B, c.V = append(c.A, p.A), append(c.B, p.B), append(c.V, v)
	}
	return c
}

// Close ends the recording; it does not close the underlying writer.
func (w *Writer) Close() error {
	if w.compressed == nil {
		return nil
	}
	if err := w.compressed.Close(); err != nil {
		return fmt.Errorf("ending the recording: %w", err)
	}
	return nil
}
