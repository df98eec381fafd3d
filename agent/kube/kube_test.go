// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/agent/catalog"
)

// TestTrim checks a pod as an API server sent it.
func TestTrim(t *testing.T) {
	b, err := os.ReadFile("testdata/pod.json")
	if err != nil {
		t.Fatal(err)
	}
	var p Pod
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	got := trim(&p)
	want := &pod{
		namespace: "web", name: "shop-7d9c5b8f6d-x2x4z", uid: "17f3aa03-3cb3-4388-88f7-f1e5f54b6e51", cgroup: "17f3aa03-3cb3-4388-88f7-f1e5f54b6e51",
		attrs: map[string]string{catalog.AttrNamespace: "web", catalog.AttrPodName: "shop-7d9c5b8f6d-x2x4z",
			catalog.AttrWorkload: "deployment/shop", catalog.AttrDeployment: "shop"},
		containers: []container{
			{id: "aaaa", attrs: map[string]string{catalog.AttrContainerName: "api"}, cpu: 0.1, memory: 64 << 20},
			{id: "cccc", attrs: map[string]string{catalog.AttrContainerName: "migrate"}},
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(pod{}, container{})); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}

func named(uid, name string, containers ...string) *pod {
	p := &pod{namespace: "web", name: name, uid: uid, cgroup: uid, attrs: map[string]string{catalog.AttrPodName: name}}
	for _, id := range containers {
		p.containers = append(p.containers, container{id: id, attrs: map[string]string{catalog.AttrContainerName: "of " + name}})
	}
	return p
}

// TestVersion checks that the version changes only if a name changes.
func TestVersion(t *testing.T) {
	p := newPods()
	p.put(named("1", "a"))
	first := p.Version()
	p.put(named("1", "a"))
	if p.Version() != first {
		t.Error("the same pod is another version")
	}
	p.put(named("1", "a", "c1"))
	if p.Version() == first || p.Container("c1") == nil {
		t.Error("a container that started is no other version")
	}
	p.put(named("1", "a", "c2")) // the container was restarted
	if p.Container("c1") != nil || p.Container("c2") == nil {
		t.Error("containers are not those of the pod")
	}
}

// TestFirstPod checks that a node that had no pod is not reported as a wrong node name
// once it has one.
func TestFirstPod(t *testing.T) {
	w := &Watcher{Pods: newPods(), node: "node-1", log: slog.New(slog.DiscardHandler)}
	w.answered(0)
	if reason, _ := w.Missing(); reason == "" {
		t.Error("no pod at all is nothing to tell")
	}
	w.put(named("1", "a"))
	if reason, _ := w.Missing(); reason != "" {
		t.Errorf("missing: %s", reason)
	}
}

// TestBounds checks that the numbers of pods and of deleted pods are limited.
func TestBounds(t *testing.T) {
	p := newPods()
	for i := range maxPods + 10 {
		p.put(named(fmt.Sprint("uid", i), fmt.Sprint("pod", i), fmt.Sprint("c", i)))
	}
	if known, refused := p.Count(); known != maxPods || refused != 10 {
		t.Errorf("known %d, refused %d, want %d and 10", known, refused, maxPods)
	}
	p.replace(nil)
	if known, _ := p.Count(); known != 0 || len(p.pods) != maxGone || len(p.containers) != maxGone {
		t.Errorf("known %d, kept %d pods with %d containers, want 0, %d, %d", known, len(p.pods), len(p.containers), maxGone, maxGone)
	}
}

// TestStaticPod checks a static pod: the API server and the kubelet use different UIDs
// for it, and cgroups have the kubelet's.
func TestStaticPod(t *testing.T) {
	mirror := &Pod{}
	mirror.Name, mirror.Namespace, mirror.UID = "etcd-node-1", "kube-system", "of-api"
	mirror.Annotations = map[string]string{staticUID: "of-file"}
	p := newPods()
	p.put(trim(mirror))
	if p.Pod("of-file") == nil || p.UID("kube-system", "etcd-node-1") != "of-api" {
		t.Errorf("pods = %v", p.pods)
	}
	file := &Pod{}
	file.Name, file.Namespace, file.UID = "etcd-node-1", "kube-system", "of-file"
	p.replace([]*pod{trim(file)}) // what the kubelet returns
	if known, _ := p.Count(); known != 1 || p.UID("kube-system", "etcd-node-1") != "of-api" {
		t.Errorf("after the kubelet was asked: %d pods, UID %q, want 1 and of-api", known, p.UID("kube-system", "etcd-node-1"))
	}
	p.leave("of-file")
	if p.Pod("of-file") == nil || p.UID("kube-system", "etcd-node-1") != "" {
		t.Error("a deleted pod keeps its name, or is still used for Events")
	}
	p.put(trim(mirror))
	if p.UID("kube-system", "etcd-node-1") != "of-api" {
		t.Error("a pod that is shown again is gone")
	}
}

// TestForgedStaticPod checks that a pod whose annotation claims the cgroup of another
// pod can neither name nor end that pod.
func TestForgedStaticPod(t *testing.T) {
	victim := named("of-victim", "victim", "c1")
	forged := &Pod{}
	forged.Name, forged.Namespace, forged.UID = "forged", "web", "of-forged"
	forged.Annotations = map[string]string{staticUID: "of-victim"}
	for name, order := range map[string][]*pod{"before": {trim(forged), victim}, "after": {victim, trim(forged)}} {
		p := newPods()
		for _, one := range order {
			p.put(one)
		}
		if got := p.Pod("of-victim")[catalog.AttrPodName]; got != "victim" || p.UID("web", "victim") != "of-victim" || p.Container("c1") == nil {
			t.Errorf("created %s: the cgroup's pod is %q with the UID %q, want victim", name, got, p.UID("web", "victim"))
		}
		if err := (store{p}).Delete(forged); err != nil || p.UID("web", "victim") != "of-victim" {
			t.Errorf("created %s: the victim is gone with the forged pod: %v", name, err)
		}
	}
}
