// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// jobs is the module of the jobs of RQ, and addJobs adds them.
const jobs = `import time
def work(): time.sleep(0.4)
`

const addJobs = `import sys, time, redis, rq, jobs
queue, began, added = rq.Queue(connection=redis.Redis(port=int(sys.argv[1]))), time.time(), 0
while True:
    if added < (time.time() - began) * 5:
        queue.enqueue(jobs.work)
        added += 1
    else:
        time.sleep(0.02)
`

// redisJobs adds five jobs a second to a queue of RQ, of which one worker does two. Then it
// starts as many workers as are recommended, and the backlog must shrink.
func redisJobs(t *testing.T, l *lab) {
	worker := need(t, "rq")
	port := strconv.Itoa(outside.FreePort(t))
	server := start(t, exec.Command(need(t, "redis-server"), "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", l.dir))
	waitPort(t, server, "127.0.0.1:"+port)
	dir := t.TempDir()
	outside.Must(t, os.WriteFile(filepath.Join(dir, "jobs.py"), []byte(jobs), 0o600))
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=/usr/bin:/bin", "PYTHONPATH=" + dir, "LANG=C.UTF-8"} // Debian's Python
		return cmd
	}
	work := func() { start(t, command(worker, "worker", "--quiet", "--url", "redis://"+server.addr)) }
	work()
	start(t, command("/usr/bin/python3", "-c", addJobs, port))
	length := func() int {
		out, err := exec.Command("redis-cli", "-p", port, "LLEN", "rq:queue:default").Output()
		outside.Must(t, err)
		n, err := strconv.Atoi(strings.TrimSpace(string(out)))
		outside.Must(t, err)
		return n
	}
	outside.Eventually(t, startLimit, "jobs wait", func() bool { return length() > 5 })
	r := l.observe(t)
	queue := func(s subject) bool { return s.Kind == "queue" && strings.HasSuffix(s.Name, server.addr) }
	f := r.find(t, "queue-backlog", "too-few-workers", queue)
	rec := f.recommends(t, "add-workers")
	if rec.Quantity == nil || *rec.Quantity < 3 || *rec.Quantity > 4 || rec.Unit != "processes" {
		t.Fatalf("%s, want 3 or 4 processes: 5 jobs a second of 0.4 s, and the time that RQ needs for each", f)
	}
	for range int(*rec.Quantity) - 1 {
		work()
	}
	outside.Eventually(t, settleLimit, fmt.Sprintf("%v workers make the backlog shrink", *rec.Quantity), func() bool {
		before := length()
		time.Sleep(2 * time.Second)
		return length() < before
	})
}
