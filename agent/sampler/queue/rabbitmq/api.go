// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

const (
	// pageSize is the largest page that RabbitMQ serves. Of queues only the first page is
	// read, the deepest ones: to sort 10,000 of them takes the broker a second.
	pageSize = 500
	// maxChannelPages limits what is read of channels.
	maxChannelPages = 10
	// maxPage is the largest answer that is read: 500 channels take 100 kB, and the
	// consumers, which have no pages in older versions, 250 bytes each.
	maxPage = 4 << 20
	// collectEvery is the default of collect_statistics_interval: channels report their
	// counters, and queues their levels, at this interval.
	collectEvery = 5 * time.Second
	// refusedFor is how long a password that the server refuses is not tried again, unless
	// it changes: the server logs each attempt.
	refusedFor = time.Minute
)

// An api reads the management API. The fields of a broker.Queue are from
//
//   - /api/queues: Name, Ready, Unacked, Consumers, and Counts: message_stats of the queue,
//     which outlive its channels, so that the queue is the only part. They and the levels
//     are up to five seconds old (collect_statistics_interval), and up to five times the
//     duration of the question older (management_db_cache_multiplier);
//   - /api/channels: Held, messages_unacknowledged of channels that consume from one queue;
//   - /api/consumers: which channel consumes from which queue, and Prefetch.
type api struct {
	at     broker.Address
	login  sampler.Broker
	client *http.Client
	seed   maphash.Seed
	// refused is the hash of the password that was refused until then, with the error.
	refused uint64
	until   time.Time
	refusal error
	// whole is set if the user may see every queue.
	whole bool
}

func dial(login sampler.Broker) broker.Source { return newAPI(broker.Address(login.Address), login) }

func newAPI(at broker.Address, login sampler.Broker) *api {
	return &api{at: at, login: login, client: newClient(), seed: maphash.MakeSeed()}
}

func (a *api) Address() broker.Address { return a.at }

func (a *api) Close() { a.client.CloseIdleConnections() }

const unobserved = "its queues are not observed"

// missing returns an error that becomes a gap.
func (a *api) missing(cure, reason string, args ...any) error {
	return sampler.NotSupported(cure, "the management API of RabbitMQ at %s %s: %s", a.login.Address, fmt.Sprintf(reason, args...), unobserved)
}

// Read implements broker.Source.
func (a *api) Read(ctx context.Context) (broker.Reading, error) {
	password, err := a.login.Password()
	if err != nil {
		return broker.Reading{}, sampler.NotSupported("correct this key of brokers in the config, or what it names", "the password of RabbitMQ at %s cannot be read: %s (%v)", a.login.Address, unobserved, err)
	}
	hash := maphash.String(a.seed, password)
	if hash == a.refused && time.Now().Before(a.until) {
		return broker.Reading{}, a.refusal
	}
	q := &question{api: a, ctx: ctx, password: password}
	r, err := q.read()
	var no *refusedError
	switch {
	case errors.As(err, &no):
		a.refused, a.until, a.refusal, a.whole = hash, time.Now().Add(refusedFor), no.error, false
		return r, no.error
	case err != nil:
		a.whole = false
		return r, err
	}
	return r, nil
}

// A refusedError is an answer that stays the same until somebody changes the user.
type refusedError struct{ error }

// A question is one reading with one password.
type question struct {
	api      *api
	ctx      context.Context
	password string
}

func (q *question) read() (r broker.Reading, err error) {
	if !q.api.whole {
		if err := q.mayRead(); err != nil {
			return r, err
		}
	}
	list, total, err := q.queues()
	if err != nil {
		return r, err
	}
	if !q.api.whole {
		if r.Partial, err = q.seesAll(total); err != nil {
			return r, err
		}
		q.api.whole = r.Partial == nil
	}
	if total > len(list) && r.Partial == nil {
		r.Partial = sampler.NotSupported("run rabbitmq-plugins enable rabbitmq_prometheus, which serves all of them",
			"RabbitMQ at %s has more than %d queues: the management API serves the numbers of the deepest only", q.api.at, pageSize)
	}
	if err := q.consumers(list); err != nil {
		return r, err
	}
	r.From, r.Every = "management", collectEvery
	for _, b := range list {
		r.Queues = append(r.Queues, *b)
	}
	return r, nil
}

// mayRead checks the tags of the user. One without monitoring is answered, but does not
// see the channels of others.
//
//	{"name":"headroom","tags":["monitoring"]}
func (q *question) mayRead() error {
	var user struct {
		Tags tags `json:"tags"`
	}
	if err := q.get("whoami", nil, &user); err != nil {
		return err
	}
	if !slices.Contains(user.Tags, "monitoring") && !slices.Contains(user.Tags, "administrator") {
		return q.noTag()
	}
	return nil
}

func (q *question) noTag() error {
	return &refusedError{q.api.missing("run rabbitmqctl set_user_tags USER monitoring", "does not let this user read statistics")}
}

// tags is a list, or text with commas before RabbitMQ 3.9.
type tags []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *tags) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*t = strings.Split(text, ",")
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// seesAll compares what the user sees with what there is: queues of virtual hosts for
// which it has no permission are left out without a word.
func (q *question) seesAll(seen int) (partial, err error) {
	var all struct {
		Totals struct {
			Queues int `json:"queues"`
		} `json:"object_totals"`
	}
	if err := q.get("overview", url.Values{"columns": {"object_totals.queues"}}, &all); err != nil {
		return nil, err
	}
	if seen >= all.Totals.Queues {
		return nil, nil
	}
	return sampler.NotSupported(`run rabbitmqctl set_permissions -p VHOST USER "^$" "^$" "^$" for each virtual host: the user may then look, and nothing else`,
		"the management API of RabbitMQ at %s shows this user only queues of some virtual hosts: the others are not observed", q.api.login.Address), nil
}

// A queueJSON is one element of /api/queues.
type queueJSON struct {
	Name      string   `json:"name"`
	Host      string   `json:"vhost"`
	Ready     *float64 `json:"messages_ready"`
	Unacked   float64  `json:"messages_unacknowledged"`
	Consumers float64  `json:"consumers"`
	Stats     struct {
		Publish      float64 `json:"publish"`
		Deliver      float64 `json:"deliver"`
		DeliverNoAck float64 `json:"deliver_no_ack"`
		Get          float64 `json:"get"`
		GetNoAck     float64 `json:"get_no_ack"`
		Ack          float64 `json:"ack"`
		Redeliver    float64 `json:"redeliver"`
	} `json:"message_stats"`
}

// whole is the part of a queue that has the counters of all its channels.
const whole broker.Part = "queue"

// queue converts the numbers. Messages that are delivered without a need to acknowledge
// them count as acknowledged, as in the plugin.
func (j *queueJSON) queue() *broker.Queue {
	unasked := j.Stats.DeliverNoAck + j.Stats.GetNoAck
	return &broker.Queue{
		Name: name{j.Host, j.Name}.String(), Temporary: strings.HasPrefix(j.Name, "amq."),
		Ready: *j.Ready, Unacked: j.Unacked, Consumers: j.Consumers,
		Counts: map[broker.Part]broker.Counts{whole: {
			Published: j.Stats.Publish, Delivered: j.Stats.Deliver + j.Stats.Get + unasked,
			Acked: j.Stats.Ack + unasked, Redelivered: j.Stats.Redeliver,
		}},
	}
}

// queueColumns keep the answer small.
const queueColumns = "name,vhost,messages_ready,messages_unacknowledged,consumers,message_stats.publish,message_stats.deliver,message_stats.deliver_no_ack," +
	"message_stats.get,message_stats.get_no_ack,message_stats.ack,message_stats.redeliver"

// queues returns the deepest queues, and how many there are. A queue of the last seconds
// has no numbers yet, and is left out.
func (q *question) queues() (map[name]*broker.Queue, int, error) {
	var page struct {
		Total *int        `json:"total_count"`
		Items []queueJSON `json:"items"`
	}
	err := q.get("queues", url.Values{"page": {"1"}, "page_size": {fmt.Sprint(pageSize)}, "sort": {"messages"}, "sort_reverse": {"true"}, "columns": {queueColumns}}, &page)
	if err != nil {
		return nil, 0, err
	}
	if page.Total == nil {
		return nil, 0, q.garbage()
	}
	list := make(map[name]*broker.Queue, len(page.Items))
	for i := range page.Items {
		if j := &page.Items[i]; j.Ready != nil {
			list[name{j.Host, j.Name}] = j.queue()
		}
	}
	if len(list) == 0 && len(page.Items) > 1 {
		return nil, 0, q.api.missing("set management_agent.disable_metrics_collector = false", "has no statistics of queues")
	}
	return list, *page.Total, nil
}

// consumers adds what consumers hold, and how much they may hold.
func (q *question) consumers(list map[name]*broker.Queue) error {
	served := false
	for _, b := range list {
		served = served || b.Consumers > 0 && !b.Temporary
	}
	if !served {
		return nil
	}
	held, err := q.channels()
	if err != nil || held == nil {
		return err
	}
	var all []struct {
		Queue struct {
			Name string `json:"name"`
			Host string `json:"vhost"`
		} `json:"queue"`
		Channel struct {
			Name string `json:"name"`
		} `json:"channel_details"`
		Prefetch float64 `json:"prefetch_count"`
	}
	if err := q.get("consumers", url.Values{"columns": {"queue,channel_details.name,prefetch_count"}}, &all); err != nil {
		return err
	}
	of := make(map[string]name) // the queue of a channel; that of a channel with several is empty
	prefetch := make(map[string]float64)
	for _, c := range all {
		id, queue := c.Channel.Name, name{c.Queue.Host, c.Queue.Name}
		if before, known := of[id]; known && before != queue {
			queue = name{}
		}
		of[id] = queue
		prefetch[id] = max(prefetch[id], c.Prefetch)
	}
	for id, queue := range of {
		unacked, known := held[id]
		if b := list[queue]; b != nil && known {
			b.Hold(unacked, prefetch[id])
		}
	}
	return nil
}

// channels returns how many messages each channel holds, nil if there are too many
// channels.
func (q *question) channels() (map[string]float64, error) {
	held := make(map[string]float64)
	for n := 1; ; n++ {
		var page struct {
			Pages int `json:"page_count"`
			Items []struct {
				Name    string  `json:"name"`
				Unacked float64 `json:"messages_unacknowledged"`
			} `json:"items"`
		}
		err := q.get("channels", url.Values{"page": {fmt.Sprint(n)}, "page_size": {fmt.Sprint(pageSize)}, "columns": {"name,messages_unacknowledged"}}, &page)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Items {
			held[c.Name] = c.Unacked
		}
		switch {
		case n >= page.Pages:
			return held, nil
		case page.Pages > maxChannelPages:
			return nil, nil
		}
	}
}

// get asks for one resource. No error has a text of the server, which may repeat what it
// was asked.
func (q *question) get(resource string, query url.Values, into any) error {
	u := url.URL{Scheme: "http", Host: q.api.login.Address, Path: "/api/" + resource, RawQuery: query.Encode()}
	if q.api.login.TLS {
		u.Scheme = "https"
	}
	req, err := http.NewRequestWithContext(q.ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(q.api.login.Username, q.password)
	resp, err := q.api.client.Do(req)
	if err != nil {
		return q.failed(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	switch {
	case err != nil:
		return q.failed(err)
	case resp.StatusCode != http.StatusOK:
		return q.status(resp.StatusCode, string(text))
	case len(text) > maxPage:
		return q.api.missing("delete channels and consumers that are not used", "has more to tell than is read")
	case json.Unmarshal(text, into) != nil:
		return q.garbage()
	}
	return nil
}

// status explains an answer that is an error.
//
//	{"error":"not_authorised","reason":"Not management user"}
func (q *question) status(code int, text string) error {
	switch {
	case code == http.StatusForbidden, code == http.StatusUnauthorized && strings.Contains(text, "Not management user"):
		return q.noTag()
	case code == http.StatusUnauthorized:
		return &refusedError{q.api.missing("correct username and password of this broker in headroom's config; the file of the password is read again by itself", "refuses the user or the password")}
	case code == http.StatusNotFound:
		return q.api.missing("run rabbitmq-plugins enable rabbitmq_management, and use its port", "is not there")
	}
	return q.api.missing("find out why in the log of the broker", "answers with status %d", code)
}

func (q *question) garbage() error {
	return q.api.missing("find out what listens there", "answers with something else than queues")
}

// failed explains why there is no answer.
func (q *question) failed(err error) error {
	if q.ctx.Err() != nil {
		return q.api.missing("find out what keeps the broker busy", "does not answer in time")
	}
	return q.api.missing("run rabbitmq-plugins enable rabbitmq_management; and see that the address in headroom's config is right", "cannot be asked (%s)", plain(err))
}
