// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
	"github.com/headroom-project/headroom/agent/sampler/queue/rabbitmq"
)

// TestNamed checks that a broker of the config is asked as one that is elsewhere if no
// process of this host listens at its address, and no longer when one does.
func TestNamed(t *testing.T) {
	login := sampler.Broker{Kind: "rabbitmq", Address: "192.0.2.1:15672"}
	n := &named{login: login}
	r := &reader{host: &sampler.Host{Index: observe.NewIndex(10)}, brokers: map[observe.ID]*watched{}, named: []*named{n}}
	s, now := observe.NewSnapshot(r.host.Index), time.Now()
	if r.claim(n, s, now); n.watched != nil {
		t.Error("it is asked before processes are known")
	}
	if r.claim(n, s, now.Add(leastAlone)); n.watched == nil || n.watched.source.Address() != "192.0.2.1:15672" || len(r.order()) != 1 {
		t.Fatalf("it is not asked: %+v", n.watched)
	}
	r.brokers[1] = &watched{logins: []sampler.Broker{login}}
	open, ended := make(chan struct{}), make(chan time.Time)
	close(ended)
	var asking sync.WaitGroup
	n.watched.reads.Ask(t.Context(), &asking, time.Minute, func(context.Context) (a answer, err error) {
		<-open
		return a, nil
	})
	if r.claim(n, s, now.Add(leastAlone)); n.watched == nil {
		t.Error("it is dropped while a question is open")
	}
	close(open)
	asking.Wait()
	n.watched.reads.Take(ended)
	if r.claim(n, s, now.Add(leastAlone)); n.watched != nil || len(r.order()) != 1 {
		t.Error("it is asked twice")
	}
	delete(r.brokers, 1)
	if r.claim(n, s, now.Add(leastAlone)); n.watched != nil {
		t.Error("a broker that restarts is taken for one that is elsewhere")
	}
}

// TestLoginsOf checks which processes get a password.
func TestLoginsOf(t *testing.T) {
	for at, want := range map[string]bool{
		"127.0.0.1:15672": true, "localhost:15672": true, "[::1]:15671": true, "[::ffff:127.0.0.1]:15672": true,
		"127.0.0.1:15673": false, "10.0.0.1:15672": false, "rabbit:15672": false,
	} {
		r := &reader{named: []*named{{login: sampler.Broker{Kind: "rabbitmq", Address: at}}, {login: sampler.Broker{Kind: "other", Address: at}}}}
		p := place.Place{Listens: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:15672"), netip.MustParseAddrPort("[::1]:15671")}}
		if got := r.loginsOf(rabbitmq.Kind, p); (len(got) == 1) != want || len(got) > 1 {
			t.Errorf("%s: %d logins, want one: %v", at, len(got), want)
		}
	}
}

// TestAnotherInterface checks that the counters of a queue go on from where they were
// when the broker is read from another interface, which counts differently.
func TestAnotherInterface(t *testing.T) {
	q := newQueues(observe.NewIndex(1000), "rabbitmq", address)
	for i, step := range []struct {
		from  string
		part  broker.Part
		acked float64
		want  float64
	}{
		{"plugin", "1", 100, 0}, {"plugin", "1", 110, 10}, {"management", "queue", 9000, 10}, {"management", "queue", 9005, 15}, {"plugin", "1", 130, 15}, {"plugin", "1", 131, 16},
	} {
		s := observe.NewSnapshot(q.index)
		q.write(s, &broker.Reading{From: step.from, Queues: []broker.Queue{{Name: "a", Counts: map[broker.Part]broker.Counts{step.part: {Acked: step.acked}}}}})
		if got := valueOf(t, s, catalog.QueueAcknowledged, "a"); got != step.want {
			t.Errorf("step %d: acknowledged = %v, want %v", i, got, step.want)
		}
	}
}

// TestUnknownHeld checks that what consumers hold is not written as nothing if it is not
// known.
func TestUnknownHeld(t *testing.T) {
	q := newQueues(observe.NewIndex(1000), "rabbitmq", address)
	for name, c := range map[string]struct {
		queue broker.Queue
		want  bool
	}{
		"unknown": {broker.Queue{Name: "a", Consumers: 2}, false}, "none": {broker.Queue{Name: "a"}, true}, "known": {broker.Queue{Name: "a", Consumers: 1, Held: []float64{3}}, true},
	} {
		s := written(q, c.queue)
		got := false
		for range s.Values(catalog.QueueBusyConsumers) {
			got = true
		}
		if got != c.want {
			t.Errorf("%s: busy consumers are written: %v, want %v", name, got, c.want)
		}
	}
}
