// SPDX-License-Identifier: Apache-2.0

// Package rabbitmq reads the queues of a RabbitMQ server from its Prometheus plugin,
// which needs no credentials: counters of channels are those of the moment, levels of
// queues up to five seconds old (collect_statistics_interval).
package rabbitmq

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// Kind is RabbitMQ.
var Kind = broker.Kind{System: "rabbitmq", Program: "beam.smp", Open: open, Dial: dial}

// Default ports. Servers whose ports are all shifted keep their distances.
const (
	portAMQP       = 5672
	portMetrics    = 15692
	portManagement = 15672
	shift          = portMetrics - portAMQP
)

// families are the groups of metrics that are read
// (rabbitmq_prometheus, metrics-detailed).
var families = url.Values{"family": {"queue_coarse_metrics", "queue_consumer_count", "channel_metrics", "channel_queue_metrics", "channel_queue_exchange_metrics"}}

const pathDetailed = "/metrics/detailed"

const cureOff = "run rabbitmq-plugins enable rabbitmq_prometheus, with prometheus.tcp.port at its default"

// open finds the port of the plugin. The other ports are not tried: RabbitMQ logs an
// error for each connection to them that speaks another protocol.
func open(p place.Place, logins []sampler.Broker) (broker.Source, bool, error) {
	amqp, metrics, ok := ports(p)
	if !amqp.IsValid() && len(logins) > 0 {
		amqp, _ = p.At(broker.Address(logins[0].Address).Port() - (portManagement - portAMQP))
	}
	at := broker.Address(amqp.String())
	switch {
	case ok:
		plugin := &source{amqp: at, url: (&url.URL{Scheme: "http", Host: metrics.String(), Path: pathDetailed, RawQuery: families.Encode()}).String(), client: newClient()}
		if len(logins) > 0 {
			return &either{plugin: plugin, api: newAPI(at, logins[0])}, true, nil
		}
		return plugin, true, nil
	case len(logins) > 0 && amqp.IsValid():
		return newAPI(at, logins[0]), true, nil
	case len(logins) > 0:
		return dial(logins[0]), true, nil
	case amqp.IsValid():
		return nil, true, sampler.NotSupported(cureOff+orLogin(p), "RabbitMQ (pid %d, %s) serves no metrics on port %d: its queues are not observed", p.PID, amqp, portMetrics)
	case len(p.Hidden) > 0 && hides(p.Hidden):
		return nil, true, sampler.NotSupported("let the plugin listen on the address of the container: prometheus.tcp.ip = ::", "RabbitMQ (pid %d) serves its metrics only on the loopback address of its container: its queues are not observed", p.PID)
	}
	return nil, false, nil
}

// orLogin returns the other fix: a login for the management API.
func orLogin(p place.Place) string {
	at, ok := p.At(portManagement)
	if !ok {
		return ""
	}
	return fmt.Sprintf("; or give headroom a user of the management API: brokers in its config, address %s", at)
}

// ports returns the addresses for clients and of the plugin.
func ports(p place.Place) (amqp, metrics netip.AddrPort, ok bool) {
	amqp, _ = p.At(portAMQP)
	if metrics, ok = p.At(portMetrics); ok {
		if !amqp.IsValid() {
			amqp = netip.AddrPortFrom(metrics.Addr(), portAMQP)
		}
		return amqp, metrics, true
	}
	for _, a := range p.Listens {
		if int(a.Port())+shift > 1<<16-1 {
			continue
		}
		if m, ok := p.At(a.Port() + shift); ok {
			return a, m, true
		}
	}
	return amqp, metrics, false
}

func hides(ports []uint16) bool {
	for _, p := range ports {
		if p == portMetrics || p == portAMQP {
			return true
		}
	}
	return false
}

// maxIdle is how long a connection to the broker is kept, longer than the time between
// two readings: opening one writes to the log of some servers.
const maxIdle = time.Minute

// newClient returns a client that talks to one address: it uses no proxy and follows no
// redirect.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConns: 1, MaxConnsPerHost: 1, IdleConnTimeout: maxIdle},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A source is one server.
type source struct {
	amqp   broker.Address
	url    string
	client *http.Client
}

func (s *source) Address() broker.Address { return s.amqp }

func (s *source) Close() { s.client.CloseIdleConnections() }

// maxBody is the largest answer that is read: 10,000 queues with a consumer each take
// 12 MB.
const maxBody = 16 << 20

// deadline is the maximum time for an answer of the plugin. The whole reading may take
// longer, so that the management API can still be asked.
const deadline = 3 * time.Second

// Read implements broker.Source.
func (s *source) Read(ctx context.Context) (broker.Reading, error) {
	var none broker.Reading
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return none, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return none, s.failed(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return none, sampler.NotSupported("use RabbitMQ 3.10 or later", "RabbitMQ at %s has no %s: its queues are not observed", s.amqp, pathDetailed)
	default:
		return none, sampler.NotSupported("find out why in the log of the broker", "RabbitMQ at %s answers a request for its metrics with status %d: its queues are not observed", s.amqp, resp.StatusCode)
	}
	body := &io.LimitedReader{R: resp.Body, N: maxBody}
	t := newTables()
	if err := t.parse(body); err != nil {
		if ctx.Err() != nil {
			return none, s.failed(ctx, err)
		}
		return none, sampler.NotSupported("find out what listens on the port of the metrics", "RabbitMQ at %s answers with something else than metrics: its queues are not observed", s.amqp)
	}
	r := broker.Reading{Queues: t.list(), From: "plugin"}
	if t.cut || body.N <= 0 {
		r.Partial = sampler.NotSupported("", "RabbitMQ at %s has more queues and channels than are read: some of its queues are not observed", s.amqp)
	}
	return r, nil
}

// failed explains why there is no answer. Texts of errors of the network have ports that
// change with each attempt.
func (s *source) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return sampler.NotSupported("find out what keeps the broker busy", "RabbitMQ at %s does not answer a request for its metrics in time: its queues are not observed", s.amqp)
	}
	return sampler.NotSupported("find out why in the log of the broker", "RabbitMQ at %s cannot be asked for its metrics: its queues are not observed (%s)", s.amqp, plain(err))
}

// plain returns the innermost error: connection refused.
func plain(err error) string {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return fmt.Sprint(err)
		}
		err = u.Unwrap()
	}
}
