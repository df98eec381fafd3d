// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// marked is a password that no error may have.
const marked = "Zq7-marked-password"

// replies serves what RabbitMQ 3.10.8 answered with one producer and two consumers, one of
// them with a limit of three. change may replace an answer.
func replies(t *testing.T, change func(w http.ResponseWriter, r *http.Request) bool) *api {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p, ok := r.BasicAuth(); !ok || p != marked {
			t.Errorf("%s: no password", r.URL)
		}
		if change != nil && change(w, r) {
			return
		}
		text, err := os.ReadFile("testdata/api/" + strings.TrimPrefix(r.URL.Path, "/api/") + ".json")
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	a := newAPI("127.0.0.1:5672", login(strings.TrimPrefix(server.URL, "http://")))
	t.Cleanup(a.Close)
	return a
}

func login(address string) sampler.Broker {
	return sampler.Broker{Kind: "rabbitmq", Address: address, Username: "u", Password: func() (string, error) { return marked, nil }}
}

// TestAPI checks that a recorded answer is read as the plugin's would be.
func TestAPI(t *testing.T) {
	r, err := replies(t, nil).Read(t.Context())
	if err != nil || r.Partial != nil {
		t.Fatal(err, r.Partial)
	}
	for _, q := range r.Queues {
		slices.Sort(q.Held)
	}
	slices.SortFunc(r.Queues, func(a, b broker.Queue) int { return strings.Compare(a.Name, b.Name) })
	want := []broker.Queue{
		{Name: "a", Ready: 2, Counts: map[broker.Part]broker.Counts{whole: {Published: 3, Delivered: 1, Acked: 1}}},
		{Name: "jobs", Unacked: 19, Consumers: 2, Held: []float64{2, 17}, HasPrefetch: true, Counts: map[broker.Part]broker.Counts{whole: {Published: 380, Delivered: 380, Acked: 362}}},
	}
	if diff := cmp.Diff(want, r.Queues); diff != "" {
		t.Error(diff)
	}
}

// answers returns a change that gives one answer to a resource.
func answers(path string, code int, text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if path != "" && r.URL.Path != "/api/"+path {
			return false
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
		return true
	}
}

// TestAPIFails checks that each failure is one error whose text does not change, with its
// fix and without the password.
func TestAPIFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(http.ResponseWriter, *http.Request) bool
		want   string
	}{
		"password":   {answers("", 401, `{"error":"not_authorized","reason":"Login failed"}`), "refuses the user or the password"},
		"no tag":     {answers("", 401, `{"error":"not_authorised","reason":"Not management user"}`), "set_user_tags USER monitoring"},
		"management": {answers("whoami", 200, `{"name":"u","tags":["management"]}`), "set_user_tags USER monitoring"},
		"old":        {answers("whoami", 200, `{"name":"u","tags":"management,policymaker"}`), "set_user_tags USER monitoring"},
		"forbidden":  {answers("queues", 403, ""), "set_user_tags USER monitoring"},
		"off":        {answers("", 404, "not found"), "plugins enable rabbitmq_management"},
		"fails":      {answers("queues", 500, marked), "status 500"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return true
		}, "status 302"},
		"garbage":       {answers("queues", 200, "<html>"+marked), "something else than queues"},
		"another list":  {answers("queues", 200, "{}"), "something else than queues"},
		"no statistics": {answers("queues", 200, `{"total_count":2,"items":[{"name":"a","vhost":"/"},{"name":"b","vhost":"/"}]}`), "disable_metrics_collector"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) bool {
			for line := []byte(strings.Repeat(" ", 64<<10)); ; {
				if _, err := w.Write(line); err != nil {
					return true
				}
			}
		}, "more to tell"},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, "in time"},
		"hangs halfway": {func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, "in time"},
		"closes": {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, "cannot be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := replies(t, c.change)
			var first string
			for range 2 {
				d := 10 * time.Second
				if strings.HasPrefix(name, "hangs") {
					d = 50 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), d)
				_, err := a.Read(ctx)
				cancel()
				if !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), c.want) || sampler.Cure(err) == "" || strings.Contains(err.Error(), marked) {
					t.Fatalf("error = %v, want %q and its fix", err, c.want)
				}
				if first != "" && err.Error() != first {
					t.Errorf("error = %v, then %v", first, err)
				}
				first = err.Error()
			}
		})
	}
}

// TestRefusedPassword checks that a refused password is not sent again, and that another
// one is sent at once.
func TestRefusedPassword(t *testing.T) {
	var questions atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		questions.Add(1)
		if _, p, _ := r.BasicAuth(); p != "new" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		text, _ := os.ReadFile("testdata/api/" + strings.TrimPrefix(r.URL.Path, "/api/") + ".json") //nolint:errcheck // the test fails then
		_, _ = w.Write(text)
	}))
	defer server.Close()
	password := "old"
	l := login(strings.TrimPrefix(server.URL, "http://"))
	l.Password = func() (string, error) { return password, nil }
	a := newAPI("127.0.0.1:5672", l)
	defer a.Close()
	for range 20 {
		if _, err := a.Read(t.Context()); err == nil {
			t.Fatal("a refused password is no error")
		}
	}
	if n := questions.Load(); n != 1 {
		t.Errorf("%d questions with a refused password, want 1", n)
	}
	password = "new"
	if r, err := a.Read(t.Context()); err != nil || len(r.Queues) != 2 {
		t.Errorf("with the new password: %d queues, %v", len(r.Queues), err)
	}
	l.Password = func() (string, error) { return "", errors.New("password_file: /p is empty") }
	if _, err := newAPI("a:1", l).Read(t.Context()); !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), "password_file: /p is empty") {
		t.Errorf("without a password: %v", err)
	}
}

// TestHiddenQueues checks that queues that the user may not see, and those beyond the
// first page, are reported.
func TestHiddenQueues(t *testing.T) {
	for text, want := range map[string]string{
		`{"object_totals":{"queues":3}}`: "only queues of some virtual hosts",
		`{"object_totals":{"queues":2}}`: "",
	} {
		r, err := replies(t, answers("overview", 200, text)).Read(t.Context())
		if err != nil || len(r.Queues) != 2 || (r.Partial == nil) != (want == "") || want != "" && !strings.Contains(r.Partial.Error(), want) {
			t.Errorf("%s: %d queues, partial = %v, %v, want %q", text, len(r.Queues), r.Partial, err, want)
		}
	}
	r, err := replies(t, answers("queues", 200, `{"total_count":10000,"items":[{"name":"a","vhost":"/","messages_ready":1}]}`)).Read(t.Context())
	if err != nil || len(r.Queues) != 1 || r.Partial == nil || !strings.Contains(r.Partial.Error(), "more than 500") {
		t.Errorf("of 10000: %v, %v", r, err)
	}
}

// TestFallback checks that the API is asked while the plugin does not answer, and that
// counters of the two are told apart.
func TestFallback(t *testing.T) {
	down := atomic.Bool{}
	text, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	plugin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(text)
	}))
	defer plugin.Close()
	e := &either{plugin: &source{amqp: "127.0.0.1:5672", url: plugin.URL, client: newClient()}, api: replies(t, nil)}
	defer e.Close()
	for i, want := range []string{"plugin", "management", "management", "plugin"} {
		down.Store(want == "management")
		if i == 3 {
			e.retry = time.Now()
		}
		if r, err := e.Read(t.Context()); err != nil || r.From != want {
			t.Errorf("reading %d is from %q, %v, want %q", i, r.From, err, want)
		}
	}
}

// TestOpenWithLogin checks what is read of a broker with a login.
func TestOpenWithLogin(t *testing.T) {
	for _, c := range []struct {
		login   string
		listens []string
		at      broker.Address
		plugin  bool
	}{
		{"127.0.0.1:15672", []string{"127.0.0.1:15692", "127.0.0.1:15672", "127.0.0.1:5672"}, "127.0.0.1:5672", true},
		{"127.0.0.1:15672", []string{"127.0.0.1:15672", "127.0.0.1:5672"}, "127.0.0.1:5672", false},
		{"127.0.0.1:15672", []string{"127.0.0.1:15672", "127.0.0.1:7000"}, "127.0.0.1:15672", false},
		{"127.0.0.1:29872", []string{"127.0.0.1:29872", "127.0.0.1:19872"}, "127.0.0.1:19872", false}, // all shifted
	} {
		p := place.Place{PID: 7}
		for _, a := range c.listens {
			p.Listens = append(p.Listens, netip.MustParseAddrPort(a))
		}
		s, ok, err := open(p, []sampler.Broker{login(c.login)})
		if err != nil || !ok {
			t.Fatalf("%v: %v, %v", c.listens, ok, err)
		}
		if _, plugin := s.(*either); plugin != c.plugin || s.Address() != c.at {
			t.Errorf("%v: %T at %s, want %s", c.listens, s, s.Address(), c.at)
		}
		s.Close()
	}
	_, _, err := open(listens("127.0.0.1:5672", "127.0.0.1:15672"), nil)
	if err == nil || !strings.Contains(sampler.Cure(err), "brokers in its config, address 127.0.0.1:15672") {
		t.Errorf("without a login: %v", err)
	}
}
