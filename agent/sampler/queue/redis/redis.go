// SPDX-License-Identifier: Apache-2.0

// Package redis reads the queues that applications keep in a Redis: streams with consumer
// groups, and those of BullMQ, Celery, RQ and Sidekiq. It finds them by the names of keys,
// with SCAN a bounded number at each reading, and asks for lengths and counters. It reads
// no message, changes no key, and needs no credentials. Package agent/sampler/redis samples what Redis says of itself.
package redis

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// Kind is Redis as a broker.
var Kind = broker.Kind{System: "redis", Program: "redis-server", Open: open, Dial: dial, Shared: true}

const (
	// scanned is the number of keys that one SCAN looks at, and scans how many there are in
	// a reading: 2,000 keys take the server 0.4 ms.
	scanned, scans = 1000, 2
	// rescanEvery is the time between two passes over all keys, and streamsEvery for
	// streams: nothing in the name of a key says that it is one, so that the server counts
	// each key that it looks at as a hit.
	rescanEvery, streamsEvery = time.Minute, 10 * time.Minute
	// maxQueues is the maximum number of streams, and of queues of BullMQ, of one server.
	maxQueues = 100
	// maxName is the longest name of a key that is taken for one of a queue.
	maxName = 100
	// timeout is the maximum time for one answer. The server does nothing else meanwhile.
	timeout = time.Second
)

// busPort is the distance of the port of a cluster's bus from that of the clients. The
// server logs an error for a connection to it that speaks another protocol.
const busPort = 10_000

func dial(b sampler.Broker) broker.Source { return newSource(broker.Address(b.Address), newLogin(b)) }

func open(p place.Place, logins []sampler.Broker) (broker.Source, bool, error) {
	if len(logins) > 0 {
		return dial(logins[0]), true, nil
	}
	for _, a := range p.Listens {
		if _, bus := p.At(a.Port() - busPort); a.Port() > busPort && bus {
			continue
		}
		return newSource(broker.Address(a.String()), nil), true, nil
	}
	return nil, false, nil // package agent/sampler/redis reports it
}

// silent drops what the library logs: a failed reading is a gap.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func newSource(at broker.Address, l *login) *source {
	client.SetLogger(silent{})
	streams := newFinder("stream", "*")
	streams.every = streamsEvery
	o := &client.Options{Addr: string(at), PoolSize: 1, MaxRetries: -1, DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout,
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
	if l != nil {
		l.options(o)
	}
	return &source{at: at, login: l, streams: streams, bulls: newFinder("hash", "*:meta"), known: make(map[string]*history),
		lists: []found{{layout: newCelery()}, {layout: &rq{tallies: tallies{}}}, {layout: &sidekiq{tallies: tallies{}}}},
		db:    client.NewClient(o)}
}

// A source is one server.
type source struct {
	at             broker.Address
	login          *login // nil without a password
	db             *client.Client
	streams, bulls *finder
	known          map[string]*history
	lists          []found
	streamed       bool      // whether an entry was added to a stream
	looked         time.Time // when to look for layouts again
	peers          []peer    // nil if they are not known
	asked          time.Time // when to ask for them again
}

func (s *source) Address() broker.Address { return s.at }

func (s *source) Close() { s.db.Close() } //nolint:errcheck // nothing was written

// Read implements broker.Source.
func (s *source) Read(ctx context.Context) (broker.Reading, error) {
	r := broker.Reading{From: "redis"}
	if s.login != nil {
		if err := s.login.refused(); err != nil {
			return broker.Reading{}, err
		}
	}
	if err := s.look(ctx); err != nil {
		return s.failed(err)
	}
	finders := []*finder{s.bulls}
	if s.streamed {
		finders = append(finders, s.streams)
	}
	for _, f := range finders {
		if err := f.find(ctx, s.db); err != nil {
			return s.failed(err)
		}
		if f.more {
			r.Partial = sampler.NotSupported("", "Redis at %s has more than %d queues: the others are not observed", s.at, maxQueues)
		}
	}
	if len(s.bulls.keys) > 0 || slices.ContainsFunc(s.lists, func(f found) bool { return f.here }) {
		s.readPeers(ctx)
	}
	for _, of := range []func(context.Context, *broker.Reading) error{s.readStreams, s.readBulls, s.readLists} {
		if err := of(ctx, &r); err != nil {
			return s.failed(err)
		}
	}
	return r, nil
}

func (s *source) readStreams(ctx context.Context, r *broker.Reading) error {
	for key := range s.streams.keys {
		queues, err := readStream(ctx, s.db, key)
		if err != nil {
			return err
		}
		if queues == nil {
			s.streams.missed(key)
		}
		r.Queues = append(r.Queues, queues...)
	}
	return nil
}

func (s *source) readBulls(ctx context.Context, r *broker.Reading) error {
	for key := range s.bulls.keys {
		q, ok, err := s.readBull(ctx, strings.TrimSuffix(key, ":meta"))
		if err != nil {
			return err
		}
		if ok {
			r.Queues = append(r.Queues, q)
			continue
		}
		s.bulls.missed(key)
	}
	return nil
}

// readLists reads the layouts that the server has.
func (s *source) readLists(ctx context.Context, r *broker.Reading) error {
	for _, l := range s.lists {
		if !l.here {
			continue
		}
		if err := l.read(ctx, s, r); err != nil {
			return err
		}
	}
	return nil
}

// failed explains why there is no answer. A server that needs a password, or whose ACL
// forbids these commands, is reported by agent/sampler/redis, and has no queues here.
func (s *source) failed(err error) (broker.Reading, error) {
	text := err.Error()
	for _, code := range []string{"NOAUTH", "NOPERM", "DENIED", "WRONGPASS"} {
		if strings.HasPrefix(text, code) {
			if s.login != nil {
				return broker.Reading{}, s.login.refuse(s.denied(code))
			}
			return broker.Reading{Every: rescanEvery}, sampler.NotSupported(orLogin+"let clients without a password run SCAN, XINFO and the commands that read lengths: a rule of its ACL for the user default",
				"Redis at %s does not show its keys without a password: queues in it are not observed", s.at)
		}
	}
	if unread, ok := errors.AsType[passwordError](err); ok {
		return broker.Reading{}, sampler.NotSupported("correct this key of brokers in the config, or what it names", "the password of Redis at %s cannot be read: queues in it are not observed (%v)", s.at, unread)
	}
	var timedOut net.Error
	if errors.As(err, &timedOut) && timedOut.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return broker.Reading{}, sampler.NotSupported("find out what keeps it busy", "Redis at %s does not answer in time: queues in it are not observed", s.at)
	}
	return broker.Reading{}, sampler.NotSupported("find out why in the log of the server", "Redis at %s does not answer: queues in it are not observed", s.at)
}

// orLogin is the fix for a server that needs a password.
const orLogin = "name a user and the file of its password in brokers of the config; or "

// denied explains a refused login. The text of the server can have names.
func (s *source) denied(code string) error {
	if code == "NOPERM" || code == "DENIED" {
		return sampler.NotSupported("give the user the rules that docs/configuration.md lists", "Redis at %s does not let the user of the config read queues: they are not observed", s.at)
	}
	return sampler.NotSupported("correct username and the password of brokers in the config", "Redis at %s refuses the user or the password of the config: queues in it are not observed", s.at)
}
