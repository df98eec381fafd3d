// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/headroom-project/headroom/lab/traffic"
)

// Scenarios of memory that grows without a fault.

const (
	// warmPages is the number of 128 kB pages in a warm cache: 80 MiB.
	warmPages = 640
	// warmRate fills it within a window, and leaves half a core free.
	warmRate = 150
)

// gcSawtooth runs garbage collectors: a node server whose sessions reach the old
// generation before they are garbage, so that its memory rises and falls by 60 MiB
// every four seconds, and a JVM that creates garbage.
func gcSawtooth(t *testing.T, l *lab) {
	node := l.runJS(t, "node", memoryContainer{limit: 256}, 192, "sessions", "80")
	jvm := l.runBusy(t, "jvm")
	httpLoad(t, node.url("/"), 200).waitAnswers(t, 400)
	httpLoad(t, jvm.url("/"), 60).waitAnswers(t, 120)
	watched := watchAnon(t, node.pid)
	r := l.observe(t)
	if falls := watched(); falls < 2 {
		t.Fatalf("the scenario does not hold: memory fell by %d MiB and more %d times, want 2", tooth, falls)
	}
	r.nothingElse(t)
	r.well(t, node, jvm)
}

// warmUp observes two servers under load from their start: code is compiled, a cache
// fills up to its limit, and a heap is used for the first time.
func warmUp(t *testing.T, l *lab) {
	var node, jvm *container
	random := rand.New(rand.NewPCG(1, 2))
	var starting sync.WaitGroup
	starting.Go(func() {
		time.Sleep(time.Second) // until headroom observes
		node = l.runJS(t, "node", memoryContainer{limit: 256}, 192, "cache", "80")
		client := traffic.NewClient(traffic.MaxInFlight)
		var choose sync.Mutex
		openLoop(t, warmRate, func(ctx context.Context) error {
			choose.Lock()
			page := random.IntN(warmPages)
			choose.Unlock()
			return traffic.Get(ctx, client, node.url(fmt.Sprintf("/%d", page)))
		})
		jvm = l.runBusy(t, "jvm")
		httpLoad(t, jvm.url("/"), 60)
	})
	r := l.observe(t)
	starting.Wait()
	if held := anon(t, node.pid); held < 80 {
		t.Fatalf("the scenario does not hold: the size of the cache is %.0f MiB", held)
	}
	r.nothingElse(t)
	r.well(t, node, jvm)
}

// runBusy runs lab/programs/Busy.java with a heap of 128 MiB and a limit of 320 MiB.
func (l *lab) runBusy(t *testing.T, name string) *container {
	t.Helper()
	return l.runMemory(t, name, memoryContainer{limit: 320, command: []string{need(t, "java"), "-Xmx128m", "@"}, program: "Busy.java"})
}

// tooth is the decrease of memory that indicates a garbage collection, in MiB.
const tooth = 30

// watchAnon counts garbage collections, which decrease a process's memory, until
// falls is called.
func watchAnon(t *testing.T, pid int) (falls func() int) {
	t.Helper()
	stop, counted := make(chan struct{}), make(chan int)
	go func() {
		n, top := 0, 0.0
		for {
			select {
			case <-stop:
				counted <- n
				return
			case <-time.After(200 * time.Millisecond):
			}
			v := anon(t, pid)
			top = max(top, v)
			if v < top-tooth {
				n, top = n+1, v
			}
		}
	}()
	return func() int { close(stop); return <-counted }
}
