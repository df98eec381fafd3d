// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/traffic"
)

// Scenarios of disks and of the page cache.

const (
	fullDisk  = "disk-saturated"
	thrashing = "page-cache-thrash"
)

// diskFull runs redis, which flushes each write to a disk of 200 writes a second,
// together with a program that keeps 16 writes in flight.
func diskFull(t *testing.T, l *lab) {
	fio, server := need(t, "fio"), need(t, "redis-server")
	// A limit on reads would slow down the start of both, whose executables are read.
	d := l.newSlowDisk(t, 256, rates{writeIOPS: 200})
	// Not by fio, and not beside redis: either is slow within the limit.
	file := filepath.Join(d.dir, "hog")
	sh(t, "dd", "if=/dev/zero", "of="+file, "bs=1M", "count=64", "conv=fsync", "status=none")
	port := strconv.Itoa(outside.FreePort(t))
	redis := start(t, d.group.Command(server, "--port", port, "--bind", "127.0.0.1", "--dir", d.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", ""))
	waitPort(t, redis, "127.0.0.1:"+port)
	client := dialRedis(t, redis.addr)
	sets := openLoop(t, 10, func(ctx context.Context) error { return client.Do(ctx, "SET key value") })
	hog := start(t, d.group.Command(fio, "--name=hog", "--thread", "--numjobs=16", "--ioengine=psync", "--direct=1", "--rw=randwrite",
		"--bs=4k", "--size=64M", "--filename="+file, "--runtime=60", "--time_based"))
	d.untilInFlight(t, 16)
	r := l.observe(t)
	sets.mustBeSlow(t, r, 50*time.Millisecond)
	f := r.find(t, fullDisk, "latency", device(d.device))
	f.recommends(t, "add-nodes").quantity(t, 1, 1)
	f.mentions(t, "redis-server")
	if len(f.Blame) == 0 || f.Blame[0].Subject.PID != hog.pid {
		t.Errorf("blame = %+v, want fio (pid %d) first", f.Blame, hog.pid)
	}
	r.find(t, blockedLoop, "blocking-call", pid(redis.pid)).explainedBy(t, fullDisk)
	r.nothingElse(t, about(fullDisk, device(d.device)), about(blockedLoop, pid(redis.pid)))
}

// diskBackup reads a whole disk at full speed, and no request waits for the disk.
func diskBackup(t *testing.T, l *lab) {
	fio := need(t, "fio")
	d := l.newSlowDisk(t, 256, rates{readBPS: 16 << 20})
	start(t, d.group.Command(fio, "--name=backup", "--thread", "--numjobs=4", "--ioengine=psync", "--direct=1", "--rw=read", "--bs=1M",
		"--filename="+d.device, "--size=256M", "--readonly", "--runtime=60", "--time_based"))
	d.untilInFlight(t, 4)
	l.observe(t).nothingElse(t)
}

// The files of a server in a small container: 219 MiB.
const (
	files      = 3500
	fileSize   = 64 << 10
	smallLimit = 128 << 20
)

// cacheThrash requests them at random, so that pages in use are evicted: the memory
// limit is the cause, because the host has enough memory.
func cacheThrash(t *testing.T, l *lab) {
	d, server := l.fileServer(t, 500)
	r := l.askFor(t, server, func() int { return rand.IntN(files) })
	f := r.find(t, thrashing, "working-set-exceeds-memory", inGroup(d.group.Path))
	f.recommends(t, "add-memory").quantity(t, 1<<20, 200<<20)
	f.explainedBy(t, memoryPressure)
	root := r.find(t, memoryPressure, "page-cache", inGroup(d.group.Path))
	root.recommends(t, "raise-memory-limit").quantity(t, 1.2*smallLimit, 2.3*smallLimit)
	r.nothingElse(t, about(thrashing, inGroup(d.group.Path)), about(memoryPressure, inGroup(d.group.Path)), func(f *finding) bool { return f.ID == blockedLoop && f.SymptomOf != nil })
}

// cacheScan requests one after the other: the evicted pages are not needed again.
func cacheScan(t *testing.T, l *lab) {
	_, server := l.fileServer(t, 4000)
	var next atomic.Int64
	r := l.askFor(t, server, func() int { return int(next.Add(1)) % files })
	r.absent(t, func(f *finding) bool {
		return f.ID == thrashing || f.ID == fullDisk || f.ID == "host-saturated" && f.Cause == "memory"
	})
}

func inGroup(name string) who {
	return func(s subject) bool { return strings.HasSuffix(s.Cgroup, name) }
}

// fileServer starts nginx with a memory limit below the size of its files, on a disk
// with a limit of reads per second.
func (l *lab) fileServer(t *testing.T, reads int) (*slowDisk, *process) {
	t.Helper()
	nginx := need(t, "nginx")
	d := l.newSlowDisk(t, 320, rates{readIOPS: uint64(reads)})
	outside.Must(t, os.Mkdir(filepath.Join(d.dir, "www"), 0o755))
	content := bytes.Repeat([]byte("headroom"), fileSize/8)
	for i := range files {
		outside.Must(t, os.WriteFile(filepath.Join(d.dir, "www", strconv.Itoa(i)), content, 0o644))
	}
	d.forget(t)
	outside.Must(t, d.group.Update(cgroups.MemoryLimit(smallLimit)))
	dir := filepath.Dir(d.dir)
	conf, err := os.ReadFile(programs + "/files.conf")
	outside.Must(t, err)
	port := strconv.Itoa(outside.FreePort(t))
	conf = []byte(strings.NewReplacer("@PORT@", port, "@DIR@", dir).Replace(string(conf)))
	outside.Must(t, os.WriteFile(dir+"/nginx.conf", conf, 0o644))
	p := start(t, d.group.Command(nginx, "-p", dir, "-c", dir+"/nginx.conf"))
	waitPort(t, p, "127.0.0.1:"+port)
	return d, p
}

// askFor requests one file after the other, and observes once memory is full.
func (l *lab) askFor(t *testing.T, server *process, which func() int) *report {
	t.Helper()
	client := traffic.NewClient(1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var asked atomic.Int64
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if traffic.Get(ctx, client, server.url(fmt.Sprintf("/%d", which()))) == nil {
				asked.Add(1)
			}
		}
	}()
	defer func() { cancel(); <-done }()
	outside.Eventually(t, startLimit, "memory filled twice with files", func() bool { return asked.Load() > 2*files })
	return l.observe(t)
}
