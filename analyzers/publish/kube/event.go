// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// component is the source of the Events.
const component = "headroom"

// event has the fields of a core/v1 Event that are written.
type event struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Involved   object   `json:"involvedObject"`
	Reason     string   `json:"reason"`
	Type       string   `json:"type"`
	Source     source   `json:"source"`
	Reporter   string   `json:"reportingComponent"`
	Instance   string   `json:"reportingInstance"`
	First      string   `json:"firstTimestamp"`
	seen
}

// seen has the fields that change when an Event occurs again.
type seen struct {
	Message string `json:"message"`
	Last    string `json:"lastTimestamp"`
	Count   int    `json:"count"`
}

type metadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	FieldPath  string `json:"fieldPath,omitempty"`
}

type source struct {
	Component string `json:"component"`
	Host      string `json:"host"`
}

// told are the Events that were written. Their count is increased when they occur
// again.
type told map[same]written

// same identifies an Event: notices with the same values increase its count.
type same struct {
	finding, reason string
	about           object
}

type written struct {
	name  string
	count int

	last time.Time
}

const (
	// maxTold limits the number of stored Events.
	maxTold = 512
	// forgotten is how long the API server keeps an Event (--event-ttl).
	forgotten = time.Hour
)

// find returns the Event that was written before, if it may still exist.
func (t told) find(s same) (written, bool) {
	w, ok := t[s]
	return w, ok && time.Since(w.last) < forgotten
}

// keep stores an Event that was written, and drops the oldest one.
func (t told) keep(s same, w written) {
	t[s] = w
	if len(t) <= maxTold {
		return
	}
	oldest := s
	for other, o := range t {
		if o.last.Before(t[oldest].last) {
			oldest = other
		}
	}
	delete(t, oldest)
}

// write increases the count of the same Event, or creates a new one.
func (s *Sink) write(ctx context.Context, n *notice) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	what := same{n.key, n.reason, n.about}
	at := n.at.UTC().Format(time.RFC3339)
	if was, ok := s.told.find(what); ok {
		was.count, was.last = was.count+1, time.Now()
		err := s.patch(ctx, n.namespace, was.name, seen{n.message, at, was.count})
		if !apierrors.IsNotFound(err) {
			if err == nil {
				s.told.keep(what, was)
			}
			return err
		}
	}
	now := written{name: eventName(n), count: 1, last: time.Now()}
	err := s.create(ctx, &event{
		APIVersion: "v1", Kind: "Event",
		Metadata: metadata{Name: now.name, Namespace: n.namespace},
		Involved: n.about, Reason: n.reason, Type: n.kind,
		Source:   source{component, s.node},
		Reporter: component, Instance: s.node, First: at,
		seen: seen{n.message, at, now.count},
	})
	if apierrors.IsAlreadyExists(err) {
		err = nil // an earlier attempt succeeded, but the answer was lost
	}
	if err == nil {
		s.told.keep(what, now)
	}
	return err
}

// maxPrefix limits the first part of a name, which has at most 253 bytes.
const maxPrefix = 200

// eventName returns the name of the Event. It is the same for the same notice, so that a
// retry does not create a second Event.
func eventName(n *notice) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %s %d", n.key, n.reason, n.at.UnixNano())
	about := n.about.Name
	return fmt.Sprintf("%s.%016x", strings.TrimRight(about[:min(maxPrefix, len(about))], ".-"), h.Sum64())
}

func (s *Sink) create(ctx context.Context, e *event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.client.Post().Namespace(e.Metadata.Namespace).Resource("events").
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
}

func (s *Sink) patch(ctx context.Context, namespace, name string, with seen) error {
	body, err := json.Marshal(with)
	if err != nil {
		return err
	}
	return s.client.Patch(types.MergePatchType).Namespace(namespace).Resource("events").Name(name).Body(body).Do(ctx).Error()
}
