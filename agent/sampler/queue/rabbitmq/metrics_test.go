// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// recorded is the answer of RabbitMQ 3.10.8 with two consumers that do not keep up.
const recorded = "testdata/detailed.txt"

func parsed(t *testing.T, text []byte) []broker.Queue {
	t.Helper()
	tables := newTables()
	if err := tables.parse(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	all := tables.list()
	for _, q := range all {
		slices.Sort(q.Held)
	}
	slices.SortFunc(all, func(a, b broker.Queue) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func TestParse(t *testing.T) {
	text, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	want := []broker.Queue{
		{Name: "invoices", Ready: 234, Unacked: 10, Consumers: 2, Held: []float64{5, 5}, Prefetch: 5, HasPrefetch: true, Counts: map[broker.Part]broker.Counts{
			"<0.993.0>":  {Delivered: 293, Acked: 288},
			"<0.1010.0>": {Delivered: 291, Acked: 286},
			"<0.976.0>":  {Published: 869},
		}},
		{Name: "jobs", Ready: 2},
		{Name: "with space", Ready: 3},
	}
	if diff := cmp.Diff(want, parsed(t, text)); diff != "" {
		t.Error(diff)
	}
}

// TestParseManyQueues checks that an answer of many chunks has each queue once, and that
// the limit is reported.
func TestParseManyQueues(t *testing.T) {
	var b strings.Builder
	b.WriteString("# TYPE rabbitmq_detailed_queue_messages_ready gauge\n")
	for i := range maxQueues + 5 {
		_, _ = fmt.Fprintf(&b, "rabbitmq_detailed_queue_messages_ready{vhost=\"tenant\",queue=\"q-%d\"} %d\n", i, i)
	}
	tables := newTables()
	if err := tables.parse(strings.NewReader(b.String())); err != nil {
		t.Fatal(err)
	}
	all := tables.list()
	if len(all) != maxQueues || !tables.cut {
		t.Errorf("queues = %d, cut = %v, want %d and true", len(all), tables.cut, maxQueues)
	}
	for _, q := range all {
		if q.Name != fmt.Sprintf("tenant/q-%.0f", q.Ready) {
			t.Fatalf("queue %s has %v messages", q.Name, q.Ready)
		}
	}
}

func TestParseOthers(t *testing.T) {
	for text, want := range map[string][]broker.Queue{
		// The broker chose the name.
		"rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"amq.gen-a\"} 1\n": {{Name: "amq.gen-a", Temporary: true, Ready: 1}},
		// Deliveries without acknowledgements are done.
		"rabbitmq_detailed_channel_messages_delivered_total{channel=\"<0.1.0>\",vhost=\"/\",queue=\"a\"} 7\n": {{Name: "a", Counts: map[broker.Part]broker.Counts{"<0.1.0>": {Delivered: 7, Acked: 7}}}},
		"rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"a\"} NaN\nrabbitmq_build_info 1\n":        {},
		// The end of an answer that was cut.
		"rabbitmq_build_info 1\nrabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"a\"} 12": {},
	} {
		if diff := cmp.Diff(want, parsed(t, []byte(text))); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestParseGarbage(t *testing.T) {
	for _, text := range []string{"", "<html>", "up 1\n", "rabbitmq_x{ 1\n", "\x00\xff\n", strings.Repeat("a", 2*chunk)} {
		if err := newTables().parse(strings.NewReader(text)); err == nil {
			t.Errorf("%.20q: no error", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(recorded)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(_ *testing.T, text []byte) {
		tables := newTables()
		if tables.parse(bytes.NewReader(text)) == nil {
			tables.list()
		}
	})
}
