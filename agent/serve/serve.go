// SPDX-License-Identifier: Apache-2.0

// Package serve limits what clients of an HTTP server can use: connections, time,
// memory, password checks and log lines. A client that does not read its answer, or
// does not finish its request, affects only itself.
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

// Limits are per server and per address. An address is an IPv4 address or an IPv6
// /64 network.
type Limits struct {
	Connections        int // open at the same time
	AddressConnections int // open at the same time, of one address
	// Grace is how long a connection without progress is kept when another one needs
	// its place.
	Grace time.Duration
	// AddressConnectionRate and AddressRequestRate are the connections and requests
	// accepted per second from one address. Excess connections are closed, excess
	// requests wait.
	AddressConnectionRate, AddressRequestRate float64
	// Header, Request and Idle are the time limits of a client for sending the header
	// (with TLS: the handshake), for sending the request, and until the next request.
	Header, Request, Idle time.Duration
	// Send is the time limit of a client for reading an answer.
	Send time.Duration
	// Wait is the time limit of a request for waiting and for being rendered.
	Wait time.Duration
	// Keep is how long a shared answer is cached after it was rendered.
	Keep time.Duration
	// HeaderBytes limits the header of a request, URLBytes its URL.
	HeaderBytes, URLBytes int
	// AnswerBytes limits all rendered answers in memory, which are compressed.
	AnswerBytes int
	// Renderings limits the answers rendered at the same time, separately for shared
	// answers and for answers to queries.
	Renderings int
	// Queries and AddressQueries limit the answers to queries in memory.
	// QueriesPerSecond limits how often one is rendered.
	Queries, AddressQueries int
	QueriesPerSecond        float64
	// Streams limits the concurrent HTTP/2 requests of one connection.
	Streams int
	// AddressPasswords and Passwords limit the wrong passwords checked per second, for
	// one address and for all; a few more are checked at first.
	AddressPasswords, Passwords float64
	// LogLines is the number of lines of one kind logged in LogPeriod.
	LogLines  int
	LogPeriod time.Duration
}

// DefaultLimits returns limits for an agent that a few scrapers and browsers read.
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

// Options describes what to serve.
type Options struct {
	Limits Limits
	Log    *slog.Logger
	// Public wraps a handler that asks for a password with one that answers what needs
	// none; may be nil.
	Public func(next http.Handler) http.Handler
	// Hosts are additional names by which clients on this machine may call the server.
	Hosts []string
}

// An Endpoint is a handler with the listeners that serve it. Shared holds, by path,
// the answers that are rendered once for all clients; two endpoints that share a
// path have the same answer there.
type Endpoint struct {
	Listeners []net.Listener
	Handler   http.Handler
	Shared    map[string]Shared
}

// A Server serves endpoints with one set of limits for all of them.
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

// counts holds the counters that Stats reports.
type counts struct {
	refused, evicted, timedOut, cut, suppressed atomic.Int64
	rejected                                    [reasons]atomic.Int64
}

// A Reason is why a request was rejected.
type Reason int

// The reasons; reasonNames has their names.
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

// Stats holds counts since the Server started.
type Stats struct {
	// Connections are open now; Refused were closed because of the limit, Evicted to
	// make room for a newer one.
	Connections      int
	Refused, Evicted int64
	// Rejected counts requests that were answered with an error at once, by Reason.
	Rejected map[string]int64
	// TimedOut counts answers that were not read in time, Cut those that were ended
	// early because their memory was needed.
	TimedOut, Cut int64
	// AnswerBytes is the memory of all answers now.
	AnswerBytes int
	// Suppressed counts lines that were not logged.
	Suppressed int64
}

// New returns a Server that does not serve yet.
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

// Stats returns the counts so far.
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

// Start serves a listener with the handler of a server; it returns when the server
// ends. http.Server.Serve is called in the end; implementations add TLS and
// passwords.
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
			go func() { _ = s.Shutdown(context.Background()) }() // stops the other listeners
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

// server returns the server of one listener. exporter-toolkit wraps server.Handler
// with its password check just before it serves; BaseContext is called after that,
// and before the first connection is accepted.
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

// bounded returns a server with the limits that net/http supports.
func (s *Server) bounded(next http.Handler) *http.Server {
	l := s.limits
	return &http.Server{
		Handler:           next,
		ErrorLog:          errorLog(s.log),
		ReadHeaderTimeout: l.Header,
		ReadTimeout:       l.Request,
		IdleTimeout:       l.Idle,
		WriteTimeout:      2*l.Wait + l.Send + l.Request, // longer than all other limits, for responses that are not written by send
		MaxHeaderBytes:    l.HeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          l.Streams,
			MaxReadFrameSize:              16 << 10, // the minimum of HTTP/2
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

// Shutdown stops listening and waits for running answers until ctx ends.
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
