// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// job is the module of the jobs of RQ, of Celery and of Sidekiq.
var job = map[string]string{
	"jobs.py": "import time\ndef work(): time.sleep(0.1)\n",
	"tasks.py": `import os, time
from celery import Celery
app = Celery("tasks", broker=os.environ["BROKER"])
@app.task(ignore_result=True)
def work(): time.sleep(0.1)
`,
	"work.rb": `require "sidekiq"
at = { url: ENV["BROKER"] }
Sidekiq.configure_server { |c| c.redis = at }
Sidekiq.configure_client { |c| c.redis = at }
class Work
  include Sidekiq::Worker
  def perform; sleep 0.1; end
end
`,
}

// A library is a real library for jobs, in a directory of its own.
type library struct {
	t       *testing.T
	dir, at string
}

func newLibrary(t *testing.T, db *client.Client, program string) *library {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Skip(err)
	}
	l := &library{t: t, dir: t.TempDir(), at: "redis://" + db.Options().Addr}
	for name, text := range job {
		outside.Must(t, os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600))
	}
	return l
}

// command is one with Debian's Python and Ruby.
func (l *library) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = l.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "PYTHONPATH=" + l.dir, "BROKER=" + l.at, "HOME=" + l.dir, "LANG=C.UTF-8"}
	return cmd
}

func (l *library) run(args ...string) {
	l.t.Helper()
	if out, err := l.command(args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// start starts a worker, which ends with the test.
func (l *library) start(args ...string) {
	l.t.Helper()
	cmd := l.command(args...)
	outside.Must(l.t, cmd.Start())
	l.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// TestLists compares what is read with what real workers did: 12 jobs are added, a worker
// is started, and then 5 more are added.
func TestLists(t *testing.T) {
	const before, later = 12, 5
	for name, c := range map[string]struct {
		program, queue string
		add            func(l *library, jobs int)
		work           []string
		slots          float64
	}{
		"rq": {"/usr/bin/rq", "default", func(l *library, jobs int) {
			l.run("/usr/bin/python3", "-c", "import redis, rq, jobs\nq = rq.Queue(connection=redis.Redis.from_url('"+l.at+"'))\nfor _ in range("+strconv.Itoa(jobs)+"): q.enqueue(jobs.work)")
		}, []string{"/usr/bin/rq", "worker", "--url", "BROKER"}, 1},
		"celery": {"/usr/bin/celery", "celery", func(l *library, jobs int) {
			l.run("/usr/bin/python3", "-c", "import tasks\nfor _ in range("+strconv.Itoa(jobs)+"): tasks.work.delay()")
		}, []string{"/usr/bin/celery", "-A", "tasks", "worker", "--pool", "solo"}, 1},
		"sidekiq": {"/usr/bin/sidekiq", "default", func(l *library, jobs int) {
			l.run("/usr/bin/ruby", "-r./work", "-e", strconv.Itoa(jobs)+".times { Work.perform_async }")
		}, []string{"/usr/bin/sidekiq", "-r", "./work.rb", "-c", "2"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, s := start(t)
			l := newLibrary(t, db, c.program)
			c.add(l, before)
			q, first := broker.Queue{}, broker.Counts{}
			outside.Eventually(t, 20*time.Second, "the queue is found", func() bool {
				q = read(t, s)[c.queue]
				first = q.Counts["queue"]
				return q.Name == c.queue
			})
			if q.Ready != before || q.Unacked != 0 || q.Consumers != 0 {
				t.Errorf("queue = %+v, want %d ready and no worker", q, before)
			}
			args := slices.Clone(c.work)
			if i := slices.Index(args, "BROKER"); i >= 0 {
				args[i] = l.at
			}
			l.start(args...)
			c.add(l, later)
			largest, joined := 0.0, false
			outside.Eventually(t, time.Minute, "all jobs are done", func() bool {
				q = read(t, s)[c.queue]
				largest, joined = max(largest, q.Consumers), joined || q.Servers == 1 && len(q.Clients) > 0
				return q.Counts["queue"].Sub(first).Acked >= before+later
			})
			if got, want := q.Counts["queue"].Sub(first), (broker.Counts{Published: later, Delivered: before + later, Acked: before + later}); got != want || q.Uncounted {
				t.Errorf("counted %+v, want %+v", got, want)
			}
			if !joined {
				t.Error("the connections of the worker were not found")
			}
			if largest != c.slots || q.Ready != 0 {
				t.Errorf("%v consumers, %v ready, want %v and 0", largest, q.Ready, c.slots)
			}
		})
	}
}

// TestPools checks how queues are grouped by the workers that take jobs from them.
func TestPools(t *testing.T) {
	of := func(names ...string) server { return server{queues: names, slots: 1} }
	for name, c := range map[string]struct {
		servers []server
		want    string
	}{
		"no worker":             {nil, "a b c"},
		"one each":              {[]server{of("a"), of("b"), of("c")}, "a b c"},
		"all of all":            {[]server{of("a", "b", "c"), of("a", "b", "c")}, "a,b,c"},
		"some of the same":      {[]server{of("a", "b"), of("b")}, "a,b! c"},
		"joined by a third":     {[]server{of("a"), of("c"), of("a", "b", "c")}, "a,b,c!"},
		"a queue without a job": {[]server{of("a", "new")}, "a,new b c"},
	} {
		var got []string
		for _, p := range pools([]string{"a", "b", "c"}, c.servers) {
			text := p.name()
			if !p.alike {
				text += "!"
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: pools = %s, want %s", name, text, c.want)
		}
	}
}

// TestTally checks that a job which is in no list for a moment is not one that arrived, and
// that jobs which are deleted are none that was done.
func TestTally(t *testing.T) {
	all := tallies{}
	for i, c := range []struct{ done, ready, held, arrived, acked float64 }{
		{0, 10, 0, 0, 0}, {0, 9, 0, 0, 0}, {0, 9, 1, 0, 0}, {1, 9, 1, 1, 1}, {2, 8, 1, 2, 3}, {0, 0, 0, 2, 3}, {0, 4, 0, 6, 3},
	} {
		q := broker.Queue{Name: "a", Ready: c.ready, Unacked: c.held, Consumers: 1}
		if got := all.count(&q, c.done, inHand)["queue"]; got.Published != c.arrived || got.Acked != c.acked {
			t.Errorf("step %d: counts = %+v, want %v published and %v done", i, got, c.arrived, c.acked)
		}
	}
}

// TestMixed checks that the commands of other programs are not counted as messages.
func TestMixed(t *testing.T) {
	l := newCelery()
	now := flows{}
	step := func(added, removed, here float64) bool {
		now.added, now.removed, now.here = now.added+added, now.removed+removed, now.here+here
		return l.count(now, leastInHand)
	}
	if !step(100, 40, 60) || !step(10, 5, 5) || !step(10, 5, 3) || l.total != (flows{added: 20, removed: 10}) {
		t.Errorf("total = %+v, want 20 added and 10 removed", l.total)
	}
	if step(30, 5, 5) || step(10, 10, 0) {
		t.Error("counted although another program pushes")
	}
	l.mixed = time.Time{}
	if !step(10, 10, 0) {
		t.Error("not counted after the other program ended")
	}
}

// TestLookups checks that the questions are few of the keys that the server counts as hits
// and misses, however many keys it has.
func TestLookups(t *testing.T) {
	db, s := start(t, "--enable-debug-command", "yes")
	ctx := t.Context()
	outside.Must(t, db.Do(ctx, "DEBUG", "POPULATE", 20_000).Err())
	outside.Must(t, db.SAdd(ctx, "rq:queues", rqQueue+"default").Err())
	outside.Must(t, db.RPush(ctx, rqQueue+"default", "a").Err())
	outside.Must(t, db.ConfigResetStat(ctx).Err())
	const readings = 10
	for range readings {
		_, err := s.Read(ctx)
		outside.Must(t, err)
	}
	stats := db.Info(ctx, "stats").Val()
	// The number of queues and their names, that of workers, the list and what is held.
	const each, signs = 5, 6
	if n := fieldOf(stats, "keyspace_hits") + fieldOf(stats, "keyspace_misses"); n > each*readings+signs {
		t.Errorf("%v keys were looked up in %d readings, want at most %d", n, readings, each*readings+signs)
	}
}
