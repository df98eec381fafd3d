// SPDX-License-Identifier: Apache-2.0

// Package kube publishes findings as Kubernetes Events: on the pod that a finding is
// about, otherwise on the node. It only creates Events and increases their count, and
// reads or changes no other objects. A repeated Event increases the count of the first
// one; a token bucket limits the number of Events.
package kube

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/headroom-project/headroom/analyzers/publish"
)

const (
	// maxWaiting limits the queue: more than the findings of a node.
	maxWaiting = 256
	// burst and refill limit the Events of a node, as the event recorder of Kubernetes
	// does: 25 at once, then 12 a minute.
	burst  = 25
	refill = 5 * time.Second
	// answerTime is the timeout of a request to the API server.
	answerTime = 10 * time.Second
	// firstRetry and lastRetry are the minimum and maximum delay of a retry: it doubles,
	// with up to half of it added at random.
	firstRetry, lastRetry = time.Second, time.Minute
	// tooOld is the age at which an Event that could not be written is dropped.
	tooOld = 10 * time.Minute
)

// A Sink is a publish.Sink.
type Sink struct {
	client rest.Interface
	node   string
	uid    func(namespace, pod string) string
	log    *slog.Logger
	queue  chan *notice
	limit  *rate.Limiter
	told   told // of the goroutine that writes

	mu      sync.Mutex
	stats   Stats
	refused bool // by the API server, and logged
}

// Stats counts Events by their outcome.
type Stats struct {
	// Sent were accepted by the API server, Failed were refused. Dropped exceeded the
	// limit of the queue, became too old, or are about pods in a namespace that is
	// being deleted.
	Sent, Failed, Dropped int
}

// Config configures a Sink.
type Config struct {
	// Client is a client of the API server, for the group "" and version v1.
	Client rest.Interface
	// Node is the name of the node in the API.
	Node string
	// UID is the API's UID of a pod, "" where it is not known.
	UID func(namespace, pod string) string
	Log *slog.Logger
}

// New returns a Sink that writes as long as Run runs.
func New(c Config) *Sink {
	return &Sink{
		client: c.Client, node: c.Node, uid: c.UID, log: c.Log,
		queue: make(chan *notice, maxWaiting), limit: rate.NewLimiter(rate.Every(refill), burst), told: make(told),
	}
}

// Publish implements publish.Sink.
func (s *Sink) Publish(c publish.Change) {
	n := noticeOf(c, s.node, s.uid)
	if n == nil {
		return
	}
	select {
	case s.queue <- n:
	default:
		s.count(func(st *Stats) { st.Dropped++ })
	}
}

// Stats returns the counts so far.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Sink) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// Run writes Events until ctx ends.
func (s *Sink) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-s.queue:
			if s.limit.Wait(ctx) != nil {
				return
			}
			s.deliver(ctx, n)
		}
	}
}

// deliver writes one Event, and retries while the API server does not answer.
func (s *Sink) deliver(ctx context.Context, n *notice) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		if time.Since(n.at) > tooOld {
			s.count(func(st *Stats) { st.Dropped++ })
			return
		}
		err := s.write(ctx, n)
		switch {
		case err == nil:
			s.taken()
			return
		case namespaceGone(err):
			s.count(func(st *Stats) { st.Dropped++ })
			return
		case final(err) && !s.starting(err, n):
			s.refuse(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait + rand.N(wait/2)):
		}
	}
}

// namespaceTerminating is corev1.NamespaceTerminatingCause.
const namespaceTerminating = "NamespaceTerminating"

// namespaceGone reports whether the namespace of an Event is deleted or being
// deleted. The API server then forbids creating objects in it, independent of
// permissions.
func namespaceGone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, namespaceTerminating)
}

// startTime is how long an API server that has just started may refuse what it
// will allow: until it has read its roles.
const startTime = 30 * time.Second

// starting reports whether a refusal may have that reason: there was none before.
func (s *Sink) starting(err error, n *notice) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !apierrors.IsForbidden(err) || s.refused {
		return false
	}
	if n.refused.IsZero() {
		n.refused = time.Now()
	}
	return time.Since(n.refused) < startTime
}

// final reports whether a retry would fail in the same way.
func final(err error) bool {
	status, answered := err.(apierrors.APIStatus) //nolint:errorlint // client-go returns it as it is
	if !answered {
		return false
	}
	code := int(status.Status().Code)
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError &&
		code != http.StatusTooManyRequests && code != http.StatusRequestTimeout && code != http.StatusUnauthorized
}

func (s *Sink) taken() {
	s.mu.Lock()
	again := s.refused
	s.stats.Sent++
	s.refused = false
	s.mu.Unlock()
	if again {
		s.log.Info("the API server takes Events again")
	}
}

// refuse records that the API server rejected an Event, and logs it once.
func (s *Sink) refuse(err error) {
	s.mu.Lock()
	news := !s.refused
	s.stats.Failed++
	s.refused = true
	s.mu.Unlock()
	if !news {
		return
	}
	cure := ""
	if apierrors.IsForbidden(err) {
		cure = "let headroom's service account create and patch events (docs/kubernetes.md)"
	}
	s.log.Warn("findings are not published as Events", "err", err, "cure", cure)
}
