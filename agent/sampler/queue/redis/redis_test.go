// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// start starts a real server, and returns a client of it and the source that reads it.
func start(t *testing.T, args ...string) (*client.Client, *source) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	outside.Must(t, err)
	at := l.Addr().(*net.TCPAddr).AddrPort()
	outside.Must(t, l.Close())
	_, port, _ := net.SplitHostPort(at.String())
	cmd := exec.Command("redis-server", append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	db := client.NewClient(&client.Options{Addr: at.String()})
	t.Cleanup(func() { _ = db.Close() })
	outside.Eventually(t, 20*time.Second, "redis-server listens", func() bool {
		conn, err := net.Dial("tcp", at.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	s, ok, err := open(place.Place{Listens: []netip.AddrPort{at}}, nil)
	outside.Must(t, err)
	if !ok {
		t.Fatal("no source")
	}
	t.Cleanup(s.Close)
	return db, s.(*source)
}

func read(t *testing.T, s *source) map[string]broker.Queue {
	t.Helper()
	s.streams.next, s.bulls.next, s.looked, s.asked = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := s.Read(ctx)
	outside.Must(t, err)
	all := make(map[string]broker.Queue)
	for _, q := range r.Queues {
		all[q.Name] = q
	}
	return all
}

// TestStream compares what is read of a consumer group with what its consumers did.
func TestStream(t *testing.T) {
	db, s := start(t)
	ctx := t.Context()
	for range 5 {
		outside.Must(t, db.XAdd(ctx, &client.XAddArgs{Stream: "orders", Values: []string{"a", "secret"}}).Err())
	}
	outside.Must(t, db.XAdd(ctx, &client.XAddArgs{Stream: "log", Values: []string{"a", "b"}}).Err())
	outside.Must(t, db.XGroupCreate(ctx, "orders", "mailer", "0").Err())
	got, err := db.XReadGroup(ctx, &client.XReadGroupArgs{Group: "mailer", Consumer: "one", Streams: []string{"orders", ">"}, Count: 3}).Result()
	outside.Must(t, err)
	outside.Must(t, db.XAck(ctx, "orders", "mailer", got[0].Messages[0].ID).Err())
	all := read(t, s)
	q, ok := all["orders/mailer"]
	if !ok || len(all) != 1 {
		t.Fatalf("queues = %v, want only orders/mailer: the other stream has no group", all)
	}
	if q.Ready != 2 || q.Unacked != 2 || q.Consumers != 1 || q.Counts["group"] != (broker.Counts{Published: 5, Delivered: 3, Acked: 1}) {
		t.Errorf("queue = %+v, want 2 ready, 2 held by 1 consumer, 5 published, 3 delivered, 1 acknowledged", q)
	}
	outside.Must(t, db.Del(ctx, "orders").Err())
	if all := read(t, s); len(all) != 0 {
		t.Errorf("queues = %v after the stream was deleted", all)
	}
}

// TestBull checks the numbers of a queue of BullMQ, from keys as version 5 writes them. The
// recorded cases of analyzers/queuebacklog are of the real library.
func TestBull(t *testing.T) {
	db, s := start(t)
	ctx := t.Context()
	outside.Must(t, db.HSet(ctx, "bull:invoices:meta", "version", "bullmq:5.81.5").Err())
	outside.Must(t, db.HSet(ctx, "shop:meta", "title", "no queue").Err())
	outside.Must(t, db.Set(ctx, "bull:invoices:id", 10, 0).Err())
	outside.Must(t, db.RPush(ctx, "bull:invoices:wait", 7, 8, 9).Err())
	outside.Must(t, db.RPush(ctx, "bull:invoices:active", 5, 6).Err())
	outside.Must(t, db.ZAdd(ctx, "bull:invoices:delayed", client.Z{Member: 10}).Err())
	all := read(t, s)
	q, ok := all["invoices"]
	if !ok || len(all) != 1 {
		t.Fatalf("queues = %v, want only invoices", all)
	}
	if q.Ready != 3 || q.Unacked != 2 || q.Consumers != 2 || q.Counts["queue"] != (broker.Counts{Published: 9, Delivered: 6, Acked: 4}) {
		t.Errorf("queue = %+v, want 3 ready, 2 active, 9 published, 6 delivered, 4 done", q)
	}
	// A job that failed is delayed until it is tried again: no counter falls.
	outside.Must(t, db.LPop(ctx, "bull:invoices:active").Err())
	outside.Must(t, db.ZAdd(ctx, "bull:invoices:delayed", client.Z{Member: 5}).Err())
	if q := read(t, s)["invoices"]; q.Counts["queue"] != (broker.Counts{Published: 9, Delivered: 6, Acked: 4}) || q.Consumers != 2 {
		t.Errorf("queue = %+v after a retry, want the same counts", q)
	}
}

// TestManyKeys checks that a reading looks at a bounded number of keys, and that later ones
// find what it did not reach.
func TestManyKeys(t *testing.T) {
	db, s := start(t, "--enable-debug-command", "yes")
	ctx := t.Context()
	outside.Must(t, db.Do(ctx, "DEBUG", "POPULATE", 20_000).Err())
	outside.Must(t, db.XAdd(ctx, &client.XAddArgs{Stream: "orders", Values: []string{"a", "b"}}).Err())
	outside.Must(t, db.XGroupCreate(ctx, "orders", "mailer", "0").Err())
	readings := 0
	for found := false; !found && readings < 20; readings++ {
		r, err := s.Read(ctx)
		outside.Must(t, err)
		found = len(r.Queues) > 0
	}
	if readings == 20 {
		t.Error("20 readings did not find the stream among 20,000 keys")
	}
	for _, line := range strings.Split(db.Info(ctx, "commandstats").Val(), "\r\n") {
		if strings.HasPrefix(line, "cmdstat_keys:") {
			t.Error("KEYS was called")
		}
	}
}

// TestPassword checks that a server with a password is a gap, without the password.
func TestPassword(t *testing.T) {
	_, s := start(t, "--requirepass", "hunter2")
	_, err := s.Read(t.Context())
	if !errors.Is(err, sampler.ErrNotSupported) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %v, want one that becomes a gap", err)
	}
}

// rules let a user read queues, as docs/configuration.md says.
const rules = "~* resetchannels +scan +exists +llen +hlen +zcard +scard +xinfo +info +multi +exec +client|list " +
	"(+get ~bull:*:id ~stat:processed) (+smembers ~rq:queues ~rq:workers ~queues ~processes ~_kombu.binding.*) (+hmget ~rq:worker:* ~*:*:*)"

// TestLogin checks that a user of the config may read queues with the rules that the
// documentation lists, that a wrong password is one gap without it, that it is not tried
// again at once, and that a new password in the file is.
func TestLogin(t *testing.T) {
	_, s := start(t, "--requirepass", "admin")
	db := client.NewClient(&client.Options{Addr: string(s.at), Password: "admin"})
	t.Cleanup(func() { _ = db.Close() })
	ctx := t.Context()
	set := func(password string) {
		args := []any{"ACL", "SETUSER", "headroom", "reset", "on", ">" + password}
		for _, r := range strings.Split(strings.NewReplacer("(", "\n(", ")", ")\n").Replace(rules), "\n") {
			if strings.HasPrefix(r, "(") {
				args = append(args, r)
				continue
			}
			for _, word := range strings.Fields(r) {
				args = append(args, word)
			}
		}
		outside.Must(t, db.Do(ctx, args...).Err())
	}
	set("hunter2")
	outside.Must(t, db.SAdd(ctx, "rq:queues", "rq:queue:default").Err())
	outside.Must(t, db.RPush(ctx, "rq:queue:default", "a").Err())
	outside.Must(t, db.SAdd(ctx, "rq:workers", "rq:worker:1").Err())
	outside.Must(t, db.HSet(ctx, "rq:worker:1", "queues", "default").Err())
	outside.Must(t, db.SAdd(ctx, "queues", "low").Err())
	outside.Must(t, db.RPush(ctx, "queue:low", "a").Err())
	outside.Must(t, db.SAdd(ctx, "_kombu.binding.celery", "celery\x06\x16\x06\x16celery").Err())
	outside.Must(t, db.Set(ctx, "bull:mail:id", 1, 0).Err())
	outside.Must(t, db.HSet(ctx, "bull:mail:meta", "version", "5").Err())
	outside.Must(t, db.XAdd(ctx, &client.XAddArgs{Stream: "orders", Values: []string{"a", "b"}}).Err())
	outside.Must(t, db.XGroupCreate(ctx, "orders", "mailer", "0").Err())
	password := "hunter2"
	dialed := dial(sampler.Broker{Address: string(s.at), Username: "headroom", Password: func() (string, error) { return password, nil }}).(*source)
	t.Cleanup(dialed.Close)
	if all := read(t, dialed); len(all) != 5 {
		t.Errorf("queues = %v, want 5", all)
	}
	set("new")
	outside.Must(t, db.ClientKillByFilter(ctx, "USER", "headroom").Err())
	for range 5 {
		_, err := dialed.Read(ctx)
		if !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), "refuses the user or the password") || strings.Contains(err.Error(), password) {
			t.Fatalf("error = %v, want one about the password", err)
		}
	}
	if failed := fieldOf(db.Info(ctx, "stats").Val(), "acl_access_denied_auth"); failed > 2 {
		t.Errorf("the wrong password was tried %v times", failed)
	}
	password = "new"
	if all := read(t, dialed); len(all) != 5 {
		t.Errorf("queues = %v after the password was corrected, want 5", all)
	}
}

// TestNoPassword checks the gap for a password that cannot be read.
func TestNoPassword(t *testing.T) {
	_, s := start(t)
	dialed := dial(sampler.Broker{Address: string(s.at), Password: func() (string, error) { return "", errors.New("password_file: it is empty") }})
	t.Cleanup(dialed.Close)
	if _, err := dialed.Read(t.Context()); !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), "password_file: it is empty") {
		t.Errorf("error = %v, want one that names the key", err)
	}
}

// TestPeers checks what is read of a list of clients.
func TestPeers(t *testing.T) {
	got := parsePeers("id=65 addr=127.0.0.1:38262 laddr=127.0.0.1:9141 fd=9 name= age=7 cmd=brpop user=default\n" +
		"id=7 addr=[::ffff:10.0.0.7]:40 name=bull:bWFpbA== cmd=bzpopmin\nid=8 addr=/run/redis.sock:0 name=x cmd=get\n")
	want := []peer{{netip.MustParseAddrPort("127.0.0.1:38262"), "", "brpop"}, {netip.MustParseAddrPort("10.0.0.7:40"), "bull:bWFpbA==", "bzpopmin"}}
	if !slices.Equal(got, want) {
		t.Errorf("peers = %v, want %v", got, want)
	}
}
