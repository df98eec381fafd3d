// SPDX-License-Identifier: Apache-2.0

// Package archive writes snapshots to a file and reads them back. Findings from a
// recording are equal to live ones, to the last digit.
//
// A recording is lines of JSON, compressed with zstd or plain. The first line is a
// Header; each line after it is one snapshot. Entities are numbered in the order in
// which they appear and described when they change; a column is a metric with the
// values of its entities, by number:
//
//	{"schema":"headroom/recording/v1","tool":"0.1.0","host":{…},"start":"…"}
//	{"time":"…","monotonic_ns":1,"boot_ns":1,"entities":[{"n":0,"kind":"node","id":"node"}],
//	 "columns":[{"metric":"system.cpu.logical.count","n":[0],"v":[2]}]}
//
// before_ms of a column is set if its sampler read it earlier than the end of the
// snapshot.
//
// Fields and metrics can be added to the format. A reader skips those that it does
// not know, so old recordings stay readable, and old versions read new ones.
package archive

import (
	"errors"
	"fmt"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
)

// Schema is the format's name and version.
const Schema = "headroom/recording/v1"

// Errors of a Reader.
var (
	ErrForeign   = errors.New("not a headroom recording")
	ErrTruncated = errors.New("the recording is cut off")
	ErrDamaged   = errors.New("the recording is damaged")
	ErrTooLarge  = errors.New("the recording is larger than one can be")
)

// An Incomplete error means that a recording could be read up to a point: the
// Reader returned every snapshot before it. It wraps ErrTruncated or ErrDamaged.
type Incomplete struct {
	Snapshots int
	Last      time.Time
	Err       error
}

// Error implements error.
func (e *Incomplete) Error() string {
	if e.Snapshots == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v, after the reading of %s", e.Err, e.Last.Format(time.RFC3339))
}

// Unwrap returns the reason why reading stopped.
func (e *Incomplete) Unwrap() error { return e.Err }

// GapRecording is the source of gaps about the recording itself.
const GapRecording = "recording"

// Gap returns the gap for the part that could not be read.
func (e *Incomplete) Gap() observe.Gap {
	return observe.Gap{Source: GapRecording, Reason: e.Error() + ": the time after it is not known",
		Cure: "copy the recording again, or record again"}
}

// A Header is the first line.
type Header struct {
	Schema string       `json:"schema"`
	Tool   string       `json:"tool"`
	Host   observe.Host `json:"host"`
	Start  time.Time    `json:"start"`
	// Names is NamesChecked if the names of commands were checked to be existing
	// files. Earlier versions took some arguments for names.
	Names string `json:"names,omitempty"`
}

// NamesChecked is the value of Header.Names.
const NamesChecked = "checked"

// frame is the line of one snapshot.
type frame struct {
	Time      time.Time     `json:"time"`
	Monotonic int64         `json:"monotonic_ns"`
	BootTime  int64         `json:"boot_ns"`
	Entities  []entity      `json:"entities,omitempty"`
	Columns   []column      `json:"columns,omitempty"`
	Hists     []histogram   `json:"histograms,omitempty"`
	Pairs     []pairs       `json:"pairs,omitempty"`
	Stalls    []stall       `json:"stalls,omitempty"`
	Gaps      []observe.Gap `json:"gaps,omitempty"`
	Ended     []ended       `json:"ended,omitempty"`
}

type entity struct {
	N          observe.ID        `json:"n"`
	Kind       string            `json:"kind"`
	ID         string            `json:"id"`
	ParentKind string            `json:"parent_kind,omitempty"`
	Parent     string            `json:"parent,omitempty"`
	Attrs      map[string]string `json:"attrs,omitempty"`
}

type column struct {
	Metric string       `json:"metric"`
	Before int64        `json:"before_ms,omitempty"` // read so long before the snapshot's time
	N      []observe.ID `json:"n"`
	V      []float64    `json:"v"`
}

// histogram is one distribution: only its buckets that are not empty, by number.
type histogram struct {
	Metric  string     `json:"metric"`
	N       observe.ID `json:"n"`
	Buckets []int      `json:"b"`
	Count   []float64  `json:"count"`
	Sum     []float64  `json:"sum"`
}

type pairs struct {
	Metric string       `json:"metric"`
	A      []observe.ID `json:"a"`
	B      []observe.ID `json:"b"`
	V      []float64    `json:"v"`
}

type stall struct {
	N          observe.ID    `json:"n"`
	Start      time.Time     `json:"start"`
	Duration   float64       `json:"duration"`
	Parts      observe.Parts `json:"parts"`
	Syscall    string        `json:"syscall,omitempty"`
	InProgress bool          `json:"in_progress,omitempty"`
}

type ended struct {
	N      observe.ID `json:"n"`
	Reason string     `json:"reason"`
}
