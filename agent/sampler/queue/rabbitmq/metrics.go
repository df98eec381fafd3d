// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"bytes"
	"errors"
	"io"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

const (
	// chunk is how much text is parsed at a time, so that a large answer does not take
	// more memory than a small one. It is longer than any line.
	chunk = 64 << 10
	// maxQueues and maxChannels limit what is kept of one answer, about 300 bytes each.
	maxQueues, maxChannels = 20_000, 20_000
)

// A name identifies a queue.
type name struct{ host, queue string }

// tables are the queues and the channels of one answer.
type tables struct {
	queues   map[name]*broker.Queue
	channels map[string]*channel
	parser   expfmt.TextParser
	seen     bool // at least one line is RabbitMQ's
	cut      bool // there were more than the limits
}

// A channel is what is known about one channel.
type channel struct {
	unacked, prefetch, consumers float64
	queues                       int // queues that it has counters of
	queue                        name
}

func newTables() *tables {
	return &tables{queues: make(map[name]*broker.Queue), channels: make(map[string]*channel), parser: expfmt.NewTextParser(model.LegacyValidation)}
}

var errNotMetrics = errors.New("these are not the metrics of RabbitMQ")

// parse reads the answer of the plugin.
//
//	# TYPE rabbitmq_detailed_queue_messages_ready gauge
//	# HELP rabbitmq_detailed_queue_messages_ready Messages ready to be delivered to consumers
//	rabbitmq_detailed_queue_messages_ready{vhost="/",queue="invoices"} 17
//	rabbitmq_detailed_channel_messages_acked_total{channel="<0.825.0>",vhost="/",queue="invoices"} 250
func (t *tables) parse(r io.Reader) error {
	buf := make([]byte, chunk)
	for left := 0; ; {
		n, err := io.ReadFull(r, buf[left:])
		text := buf[:left+n]
		whole := len(text)
		if err == nil {
			whole = bytes.LastIndexByte(text, '\n') + 1
		}
		if whole == 0 && err == nil {
			return errNotMetrics // a line that is longer than a chunk
		}
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if err != nil {
			// The last line of an answer that was cut is not whole.
			whole = bytes.LastIndexByte(text, '\n') + 1
		}
		if perr := t.part(text[:whole]); perr != nil {
			return perr
		}
		if err != nil {
			break
		}
		left = copy(buf, text[whole:])
	}
	if !t.seen {
		return errNotMetrics
	}
	return nil
}

// part parses whole lines.
func (t *tables) part(text []byte) error {
	t.seen = t.seen || bytes.Contains(text, []byte("\nrabbitmq_")) || bytes.HasPrefix(text, []byte("rabbitmq_"))
	families, err := t.parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return errNotMetrics
	}
	for _, f := range families {
		metric, ours := strings.CutPrefix(f.GetName(), "rabbitmq_detailed_")
		if !ours {
			continue
		}
		for _, m := range f.GetMetric() {
			t.add(metric, m)
		}
	}
	return nil
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	}
	return m.GetUntyped().GetValue()
}

// add stores one sample.
func (t *tables) add(metric string, m *dto.Metric) {
	v := value(m)
	if !(v >= 0) {
		return // NaN: the broker does not know it
	}
	var of name
	var ch string
	for _, l := range m.GetLabel() {
		switch l.GetName() {
		case "vhost", "queue_vhost":
			of.host = l.GetValue()
		case "queue":
			of.queue = l.GetValue()
		case "channel":
			ch = l.GetValue()
		}
	}
	switch {
	case of.queue == "":
		t.ofChannel(metric, ch, v)
	case ch == "":
		t.ofQueue(metric, of, v)
	default:
		t.ofBoth(metric, of, ch, v)
	}
}

func (t *tables) ofQueue(metric string, of name, v float64) {
	q := t.queue(of)
	if q == nil {
		return
	}
	switch metric {
	case "queue_messages_ready":
		q.Ready = v
	case "queue_messages_unacked":
		q.Unacked = v
	case "queue_consumers":
		q.Consumers = v
	}
}

func (t *tables) ofChannel(metric, id string, v float64) {
	if id == "" {
		return
	}
	c := t.channel(id)
	if c == nil {
		return
	}
	switch metric {
	case "channel_messages_unacked":
		c.unacked = v
	case "channel_consumers":
		c.consumers = v
	case "consumer_prefetch", "channel_prefetch":
		c.prefetch = max(c.prefetch, v)
	}
}

// ofBoth adds the counters of a channel to the queue. Messages that are delivered without
// a need to acknowledge them count as acknowledged.
func (t *tables) ofBoth(metric string, of name, id string, v float64) {
	var c broker.Counts
	switch metric {
	case "queue_messages_published_total":
		c.Published = v
	case "channel_messages_delivered_ack_total", "channel_get_ack_total":
		c.Delivered = v
	case "channel_messages_delivered_total", "channel_get_total":
		c.Delivered, c.Acked = v, v
	case "channel_messages_acked_total":
		c.Acked = v
	case "channel_messages_redelivered_total":
		c.Redelivered = v
	default:
		return
	}
	q, ch := t.queue(of), t.channel(id)
	if q == nil || ch == nil {
		return
	}
	if q.Counts == nil {
		q.Counts = make(map[broker.Part]broker.Counts)
	}
	q.Counts[broker.Part(id)] = q.Counts[broker.Part(id)].Add(c)
	if metric == "channel_messages_delivered_ack_total" && ch.queue != of {
		ch.queue = of
		ch.queues++
	}
}

func (t *tables) queue(of name) *broker.Queue {
	q := t.queues[of]
	if q == nil {
		if len(t.queues) >= maxQueues {
			t.cut = true
			return nil
		}
		q = &broker.Queue{Name: of.String(), Temporary: strings.HasPrefix(of.queue, "amq.")}
		t.queues[of] = q
	}
	return q
}

func (t *tables) channel(id string) *channel {
	c := t.channels[id]
	if c == nil {
		if len(t.channels) >= maxChannels {
			t.cut = true
			return nil
		}
		c = &channel{}
		t.channels[id] = c
	}
	return c
}

// String returns the name of the queue, with its virtual host if that is not the default
// one.
func (n name) String() string {
	if n.host == "" || n.host == "/" {
		return n.queue
	}
	return n.host + "/" + n.queue
}

// list returns the queues. What a channel holds belongs to a queue if it consumes from no
// other one.
func (t *tables) list() []broker.Queue {
	for _, c := range t.channels {
		if q := t.queues[c.queue]; q != nil && c.queues == 1 && c.consumers > 0 {
			q.Hold(c.unacked, c.prefetch)
		}
	}
	all := make([]broker.Queue, 0, len(t.queues))
	for _, q := range t.queues {
		all = append(all, *q)
	}
	return all
}
