// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// book is an orchestrator with the names that a test gives it.
type book struct {
	sampler.Orchestrator
	version    atomic.Uint64
	mu         sync.Mutex
	pods       map[string]map[string]string
	containers map[string]map[string]string
}

func newBook() *book {
	return &book{pods: make(map[string]map[string]string), containers: make(map[string]map[string]string)}
}

func (b *book) Version() uint64 { return b.version.Load() }

func (b *book) Pod(uid string) map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pods[uid]
}

func (b *book) Container(id string) map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.containers[id]
}

func (b *book) write(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
	b.version.Add(1)
}

const podPath = "/kubepods/burstable/pod0d39"

// TestLateNames checks names if the pod is known before its container runs, and if the
// container is found before its pod reports the container's ID.
func TestLateNames(t *testing.T) {
	b := newBook()
	b.write(func() {
		b.pods["0d39"] = map[string]string{catalog.AttrPodName: "shop-1", catalog.AttrNamespace: "web"}
	})
	r := New("testdata/proc", "", observe.NewIndex(1000))
	r.Ask(b)
	id := r.Cgroup(podPath + "/8f6a")
	outside := r.Cgroup("/system.slice/nginx.service")
	if got := r.index.Attr(id, catalog.AttrPodName); got != "shop-1" {
		t.Errorf("pod = %q at first sight, want shop-1", got)
	}
	before, stranger := r.index.Revision(id), r.index.Revision(outside)
	r.Rename()
	if r.index.Revision(id) != before {
		t.Error("nothing was new, and the container was described again")
	}
	b.write(func() { b.containers["8f6a"] = map[string]string{catalog.AttrContainerName: "api"} })
	if r.index.Attr(id, catalog.AttrContainerName) != "" {
		t.Error("it is named before Rename")
	}
	r.Rename()
	want := map[string]string{catalog.AttrCgroup: podPath + "/8f6a", catalog.AttrPodUID: "0d39", catalog.AttrQoS: "Burstable",
		catalog.AttrContainerID: "8f6a", catalog.AttrPodName: "shop-1", catalog.AttrNamespace: "web", catalog.AttrContainerName: "api"}
	if got := r.index.Info(id).Attrs; !maps.Equal(got, want) {
		t.Errorf("container = %v, want %v", got, want)
	}
	if r.index.Revision(outside) != stranger {
		t.Error("what is in no pod was described again")
	}
	var containers []string
	for _, name := range r.Containers() {
		containers = append(containers, name)
	}
	if !slices.Equal(containers, []string{"8f6a"}) {
		t.Errorf("containers = %v, want the one", containers)
	}
}

// TestNoNameIsLost checks that no name is lost if cgroups are found while names arrive,
// from several goroutines.
func TestNoNameIsLost(t *testing.T) {
	const n = 200
	b := newBook()
	r := New("testdata/proc", "", observe.NewIndex(1000))
	r.Ask(b)
	name := func(i int) string { return string(rune('a'+i/26)) + string(rune('a'+i%26)) }
	var all sync.WaitGroup
	all.Go(func() {
		for i := range n {
			b.write(func() { b.containers[name(i)] = map[string]string{catalog.AttrContainerName: "api"} })
		}
	})
	all.Go(func() {
		for i := range n {
			r.Cgroup(podPath + "/" + name(i))
		}
	})
	all.Go(func() {
		for range n {
			r.Rename()
		}
	})
	all.Wait()
	r.Rename()
	for i := range n {
		if r.index.Attr(r.Cgroup(podPath+"/"+name(i)), catalog.AttrContainerName) != "api" {
			t.Errorf("container %s has no name", name(i))
		}
	}
}
