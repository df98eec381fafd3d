// SPDX-License-Identifier: Apache-2.0

// Package serve bounds what the clients of an HTTP server can take from it:
// connections, time, memory, password checks and lines of the log. A client that
// does not read its answer, or does not finish its request, costs itself only.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are what all clients together, and those of one address, can take.
// An address is an IPv4 address or an IPv6 /64 network.
type Limits struct {
	Connections        int // open at a time
	AddressConnections int // of them, of one address
	// Grace is how long a connection without progress is kept when another one needs
	// its place.
	Grace time.Duration
	// AddressConnectionRate and AddressRequestRate are how many connections and
	// requests of one address are accepted a second. A connection beyond is closed,
	// a request waits for its turn.
	AddressConnectionRate, AddressRequestRate float64
	// Header, Request and Idle are how long a client may take to send the header
	// (with TLS: the handshake), to send the request, and to send the next one.
	Header, Request, Idle time.Duration
	// Send is how long a client may take to read an answer.
	Send time.Duration
	// Wait is how long a request waits for its turn, and to be rendered.
	Wait time.Duration
	// Keep is how long a shared answer is kept in memory after it was rendered.
	Keep time.Duration
	// HeaderBytes bounds the header of a request, URLBytes its URL.
	HeaderBytes, URLBytes int
	// AnswerBytes bounds all rendered answers in memory, which are compressed.
	AnswerBytes int
	// Renderings bounds the answers rendered at a time: of shared answers, and of
	// answers to queries.
	Renderings int
	// Queries and AddressQueries bound the answers to queries in memory.
	// QueriesPerSecond bounds how often one is rendered.
	Queries, AddressQueries int
	QueriesPerSecond        float64
	// Streams bounds the HTTP/2 requests under way on one connection.
	Streams int
	// AddressPasswords and Passwords bound the wrong passwords checked a second,
	// of one address and of all; a few more are checked at first.
	AddressPasswords, Passwords float64
	// LogLines is how many lines of one kind are logged in LogPeriod.
	LogLines  int
	LogPeriod time.Duration
}

// DefaultLimits suit an agent that a few scrapers and browsers read.
func DefaultLimits() Limits {
	return Limits{
		Connections: 256, AddressConnections: 32, Grace: 50 * time.Millisecond,
		AddressConnectionRate: 200, AddressRequestRate: 100,
		Header: 5 * time.Second, Request: 10 * time.Second, Idle: 45 * time.Second,
		Send: 10 * time.Second, Wait: 5 * time.Second, Keep: 30 * time.Second,
		HeaderBytes: 16 << 10, URLBytes: 4 << 10,
		AnswerBytes: 16 << 20, Renderings: 2,
		Queries: 16, AddressQueries: 4, QueriesPerSecond: 10,
		Streams:          16,
		AddressPasswords: 1, Passwords: 10,
		LogLines: 5, LogPeriod: time.Minute,
	}
}

// Options describe what is served.
type Options struct {
	Limits Limits
	Log    *slog.Logger
	// Public puts what needs no password before a handler that asks for one; may be nil.
	Public func(next http.Handler) http.Handler
	// Hosts are further names by which clients on this machine may call the server.
	Hosts []string
}

// An Endpoint is a handler with the listeners that it is served on. Shared are
// the answers that are rendered once for all clients, by path; two endpoints
// that share a path have the same answer there.
type Endpoint struct {
	Listeners []net.Listener
	Handler   http.Handler
	Shared    map[string]Shared
}

// A Server serves endpoints, with one set of limits for all of them.
type Server struct {
	limits  Limits
	log     *slog.Logger
	counts  counts
	conns   *seats
	sending *seats
	answers *answers
	gate    *gate
	opening *rates // of connections
	asking  *rates // of requests
	hosts   hosts
	public  func(http.Handler) http.Handler

	mu      sync.Mutex
	servers []*http.Server
	ended   bool
}

// counts are what Stats reports of the past.
type counts struct {
	refused, evicted, timedOut, cut, suppressed atomic.Int64
	rejected                                    [reasons]atomic.Int64
}

// A Reason is why a request was rejected.
type Reason int

// The reasons, by name in reasonNames.
const (
	Busy Reason = iota
	Memory
	Password
	Host
	Malformed
	reasons
)

var reasonNames = [reasons]string{"busy", "memory", "password", "host", "malformed"}

func (r Reason) String() string { return reasonNames[r] }

// Stats are what a Server counted since it started.
type Stats struct {
	// Connections are open now; Refused were closed because of the limit, Evicted
	// to make place for one that was opened later.
	Connections      int
	Refused, Evicted int64
	// Rejected are requests that were answered with an error at once, by Reason.
	Rejected map[string]int64
	// TimedOut are answers that were not read in time, Cut those that were ended
	// early because their memory was needed.
	TimedOut, Cut int64
	// AnswerBytes are held by answers now.
	AnswerBytes int
	// Suppressed are lines that were not logged.
	Suppressed int64
}

// New returns a Server that serves nothing yet.
func New(o Options) *Server {
	s := &Server{limits: o.Limits, hosts: allowedHosts(o.Hosts), public: o.Public}
	l := s.limits
	s.log = slog.New(newQuiet(o.Log.Handler(), l.LogLines, l.LogPeriod, &s.counts.suppressed))
	s.conns = newSeats(l.Connections, l.AddressConnections, l.Grace)
	s.sending = newSeats(l.Connections, l.AddressConnections, l.Grace)
	s.answers = newAnswers(s)
	s.opening, s.asking = newRates(l.AddressConnectionRate, math.Inf(1)), newRates(l.AddressRequestRate, math.Inf(1))
	s.gate = newGate(l.AddressPasswords, l.Passwords)
	return s
}

// Stats returns what was counted so far.
func (s *Server) Stats() Stats {
	st := Stats{
		Connections: s.conns.count(), Refused: s.counts.refused.Load(), Evicted: s.counts.evicted.Load(),
		TimedOut: s.counts.timedOut.Load(), Cut: s.counts.cut.Load(),
		AnswerBytes: s.answers.held(), Suppressed: s.counts.suppressed.Load(),
		Rejected: make(map[string]int64),
	}
	for r := range reasons {
		st.Rejected[r.String()] = s.counts.rejected[r].Load()
	}
	return st
}

// Start serves a listener with a server that has a handler; it returns when the
// server ends. http.Server.Serve is one in the end; others add TLS and passwords.
type Start func(net.Listener, *http.Server, *slog.Logger) error

// Serve serves the endpoints until Shutdown, or until one of their listeners fails.
func (s *Server) Serve(endpoints []Endpoint, start Start) error {
	n, errs := 0, make(chan error)
	for _, e := range endpoints {
		for _, l := range e.Listeners {
			n++
			server := s.server(s.answers.handler(e.Handler, e.Shared))
			if !s.add(server) {
				go func() { errs <- errors.Join(http.ErrServerClosed, l.Close()) }()
				continue
			}
			go func() { errs <- start(&listener{l, s}, server, s.log) }()
		}
	}
	var failed error
	for range n {
		if err := <-errs; !errors.Is(err, http.ErrServerClosed) && failed == nil {
			failed = err
			go func() { _ = s.Shutdown(context.Background()) }() // the other listeners end too
		}
	}
	return failed
}

func (s *Server) add(server *http.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.servers = append(s.servers, server)
	return true
}

// server returns the server of one listener. exporter-toolkit puts its question
// for the password around server.Handler just before it serves; BaseContext is
// called after that, and before the first connection is accepted.
func (s *Server) server(next http.Handler) *http.Server {
	server := s.bounded(next)
	server.BaseContext = func(net.Listener) context.Context {
		if s.public != nil {
			server.Handler = s.public(server.Handler)
		}
		server.Handler = s.front(server.Handler)
		return context.Background()
	}
	return server
}

// bounded returns a server with the limits that net/http knows.
func (s *Server) bounded(next http.Handler) *http.Server {
	l := s.limits
	return &http.Server{
		Handler:           next,
		ErrorLog:          errorLog(s.log),
		ReadHeaderTimeout: l.Header,
		ReadTimeout:       l.Request,
		IdleTimeout:       l.Idle,
		WriteTimeout:      2*l.Wait + l.Send + l.Request, // above all others: what writes without an answer of ours
		MaxHeaderBytes:    l.HeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          l.Streams,
			MaxReadFrameSize:              16 << 10, // the least that HTTP/2 knows
			MaxReceiveBufferPerConnection: 64 << 10,
			MaxReceiveBufferPerStream:     16 << 10,
			MaxDecoderHeaderTableSize:     4 << 10,
			MaxEncoderHeaderTableSize:     4 << 10,
			SendPingTimeout:               l.Idle,
			PingTimeout:                   l.Request,
			WriteByteTimeout:              l.Send,
		},
	}
}

// Shutdown stops listening, and lets answers under way end until ctx does.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.ended = true
	servers := s.servers
	s.mu.Unlock()
	var all error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			all = errors.Join(all, err, server.Close())
		}
	}
	return all
}

// Listen opens all addresses, or none of them.
func Listen(ctx context.Context, addresses []string) ([]net.Listener, error) {
	config := net.ListenConfig{Control: smallBuffers}
	var all []net.Listener
	for _, address := range addresses {
		l, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		all = append(all, l)
	}
	return all, nil
}
