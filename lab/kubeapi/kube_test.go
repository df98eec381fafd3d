// SPDX-License-Identifier: Apache-2.0

package kubeapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/kube"
	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	kubevents "github.com/headroom-project/headroom/analyzers/publish/kube"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A said is a log that a test can read while it is written.
type said struct{ outside.Output }

func (s *said) count(what string) int { return strings.Count(s.String(), what) }

// watch starts a Watcher of the pods on node-1, with a service account.
func watch(t *testing.T, account string) (*kube.Watcher, *said) {
	t.Helper()
	log := &said{}
	w, err := kube.New(kube.Config{API: server.as(t, account), Node: "node-1", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	whileTest(t, w.Watch)
	return w, log
}

// whileTest runs f until the test ends, and waits until it returns.
func whileTest(t *testing.T, f func(context.Context)) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func id(n string) string { return strings.Repeat(n, 64) }

// TestNames checks that pods of this node have names, those of other nodes do not,
// and a container that starts later gets its name when its pod's status has its ID.
func TestNames(t *testing.T) {
	uid := server.create(t, pod{namespace: "web", name: "shop-7d9c5b8f6d-x2x4z", node: "node-1", owner: "ReplicaSet", ownerName: "shop-7d9c5b8f6d",
		labels: map[string]string{"pod-template-hash": "7d9c5b8f6d"}, containers: map[string]string{"api": id("a")}})
	elsewhere := server.create(t, pod{namespace: "web", name: "elsewhere", node: "node-2", containers: map[string]string{"api": id("b")}})
	w, _ := watch(t, "headroom")
	outside.Eventually(t, patience, "the pod is named", func() bool { return w.Container(id("a")) != nil })
	if got := w.Pod(uid); got[catalog.AttrPodName] != "shop-7d9c5b8f6d-x2x4z" || got[catalog.AttrNamespace] != "web" ||
		got[catalog.AttrWorkload] != "deployment/shop" || got[catalog.AttrDeployment] != "shop" {
		t.Errorf("pod = %v", got)
	}
	if got := w.Container(id("a"))[catalog.AttrContainerName]; got != "api" {
		t.Errorf("container = %q, want api", got)
	}
	if cpu, memory, ok := w.Requests(id("a")); !ok || cpu != 0.1 || memory != 64<<20 {
		t.Errorf("requests = %v cores, %v bytes, %v, want 0.1 and 64 MiB", cpu, memory, ok)
	}
	if w.Pod(elsewhere) != nil {
		t.Error("a pod of another node is known")
	}
	if reason, _ := w.Missing(); reason != "" {
		t.Errorf("missing: %s", reason)
	}
	late := pod{namespace: "web", name: "late", node: "node-1", containers: map[string]string{"main": ""}}
	lateUID := server.create(t, late)
	outside.Eventually(t, patience, "a new pod is named", func() bool { return w.Pod(lateUID) != nil })
	before := w.Version()
	late.containers["main"] = id("c")
	server.run(t, late)
	outside.Eventually(t, patience, "its container is named once it runs", func() bool { return w.Container(id("c")) != nil })
	if w.Version() == before {
		t.Error("names changed, but the version did not")
	}
	server.do(t, "", "delete", "pod", "late", "-n", "web", "--grace-period=0", "--force")
	outside.Eventually(t, patience, "a deleted pod has no UID", func() bool { return w.UID("web", "late") == "" })
	if w.Pod(lateUID) == nil {
		t.Error("a deleted pod lost its name, but its cgroup may still exist")
	}
}

// TestNoPermission checks that without permissions the agent logs once what is
// missing, and that it works as soon as they are granted.
func TestNoPermission(t *testing.T) {
	server.create(t, pod{namespace: "web", name: "plain", node: "node-1", containers: map[string]string{"main": id("d")}})
	server.do(t, "", "create", "serviceaccount", "nobody", "-n", "headroom")
	w, log := watch(t, "nobody")
	outside.Eventually(t, patience, "it says that it may not", func() bool {
		reason, cure := w.Missing()
		return strings.Contains(reason, "does not let headroom list") && strings.Contains(cure, "docs/kubernetes.md")
	})
	time.Sleep(5 * time.Second) // until it has tried again
	if n := log.count("does not let headroom list"); n != 1 {
		t.Errorf("it was logged %d times, want once", n)
	}
	server.do(t, "", "create", "clusterrolebinding", "nobody", "--clusterrole=headroom", "--serviceaccount=headroom:nobody")
	outside.Eventually(t, patience, "it takes the permission in", func() bool { reason, _ := w.Missing(); return reason == "" && w.Container(id("d")) != nil })
}

// TestWrongNode checks that an unknown node name is reported, and not taken for an empty node.
func TestWrongNode(t *testing.T) {
	w, err := kube.New(kube.Config{API: server.as(t, "headroom"), Node: "nowhere", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	whileTest(t, w.Watch)
	outside.Eventually(t, patience, "it says which name is wrong", func() bool {
		reason, cure := w.Missing()
		return strings.Contains(reason, `"nowhere"`) && strings.Contains(cure, "NODE_NAME")
	})
}

// An event has the fields of an Event that tests read.
type event struct {
	Metadata struct{ Namespace string }
	Involved struct{ Kind, Name, UID, FieldPath string } `json:"involvedObject"`
	Reason   string
	Type     string
	Message  string
	Count    int
	Source   struct{ Component, Host string }
}

func events(t *testing.T, namespace, about string) []event {
	t.Helper()
	var list struct{ Items []event }
	if err := json.Unmarshal([]byte(server.do(t, "", "get", "events", "-n", namespace, "--field-selector", "involvedObject.name="+about, "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// tell runs a Sink with a service account, using a watch of the pods.
func tell(t *testing.T, w *kube.Watcher) (*kubevents.Sink, *said) {
	t.Helper()
	log := &said{}
	s := kubevents.New(kubevents.Config{Client: w.Client(), Node: "node-1", UID: w.UID, Log: slog.New(slog.NewTextHandler(log, nil))})
	whileTest(t, s.Run)
	return s, log
}

// blocked is a finding about a pod, all of whose names its namespace may read.
func blocked(name string) *report.Finding {
	return withLocal(&report.Finding{
		Key: "event-loop-blocked/loop:web/deployment/" + name, ID: "event-loop-blocked", Severity: report.Severity(analysis.Warning),
		Subject:         report.Subject{Kind: "loop", Namespace: "web", Pod: name, Container: "api"},
		Summary:         "the event loop of node server.js (pid 42) gets to requests 412 ms late",
		Recommendations: []report.Recommendation{{Action: "Move the computing of node server.js to 2 worker threads"}},
	})
}

func withLocal(f *report.Finding) *report.Finding {
	f.Local = &report.Local{Summary: f.Summary, Action: f.Recommendations[0].Action}
	return f
}

func change(f *report.Finding, from, to state.State) publish.Change {
	return publish.Change{Finding: f, From: from, To: to, At: time.Now()}
}

// TestEvents checks that a firing finding is an Event on its pod, as shown by kubectl
// describe, that its count increases when it fires again, and that another Event is
// written when it is resolved.
func TestEvents(t *testing.T) {
	uid := server.create(t, pod{namespace: "web", name: "told", node: "node-1", containers: map[string]string{"api": id("e")}})
	w, _ := watch(t, "headroom")
	outside.Eventually(t, patience, "the pod is named", func() bool { return w.Pod(uid) != nil })
	sink, _ := tell(t, w)
	f := blocked("told")
	sink.Publish(change(f, "", state.Pending))
	sink.Publish(change(f, state.Pending, state.Firing))
	sink.Publish(change(f, state.Firing, state.Cleared))
	sink.Publish(change(f, state.Cleared, state.Firing))
	muted := *blocked("told")
	muted.Muted = true
	sink.Publish(change(&muted, state.Pending, state.Firing))
	outside.Eventually(t, patience, "three are sent", func() bool { return sink.Stats().Sent == 3 })
	got := events(t, "web", "told")
	if len(got) != 2 {
		t.Fatalf("events = %+v, want that it fires and that it is over", got)
	}
	for _, e := range got {
		want := event{Reason: "EventLoopBlocked", Type: "Warning", Count: 2,
			Message: "the event loop of node server.js (pid 42) gets to requests 412 ms late. Move the computing of node server.js to 2 worker threads."}
		if e.Type == "Normal" {
			want.Reason, want.Type, want.Count = "EventLoopBlockedCleared", "Normal", 1
			want.Message = "Resolved: the event loop of node server.js (pid 42) gets to requests 412 ms late"
		}
		want.Metadata.Namespace = "web"
		want.Involved.Kind, want.Involved.Name, want.Involved.UID, want.Involved.FieldPath = "Pod", "told", uid, "spec.containers{api}"
		want.Source.Component, want.Source.Host = "headroom", "node-1"
		if e != want {
			t.Errorf("event = %+v\nwant    %+v", e, want)
		}
	}
	if shown := server.do(t, "", "describe", "pod", "told", "-n", "web"); !strings.Contains(shown, "EventLoopBlocked") {
		t.Errorf("kubectl describe pod does not show it:\n%s", shown)
	}
	host := blocked("told")
	host.ID, host.Key, host.Subject = "host-saturated", "host-saturated/host:node", report.Subject{Kind: "host", Name: "node-1"}
	sink.Publish(change(host, state.Pending, state.Firing))
	outside.Eventually(t, patience, "what concerns the host is told of the node", func() bool {
		on := events(t, "default", "node-1")
		return len(on) == 1 && on[0].Involved.Kind == "Node" && on[0].Reason == "HostSaturated"
	})
}

// TestHostileNames creates a pod with the longest name and an arbitrary text as its
// owner, which the API server admits. It must also admit the Events about the pod
// and its processes, which must not contain such an owner and must be printable.
func TestHostileNames(t *testing.T) {
	name := strings.Repeat(strings.Repeat("a", 62)+".", 4)[:250] + "-z9" // 253 bytes
	container := strings.Repeat("c", 63)
	uid := server.create(t, pod{namespace: "web", name: name, node: "node-1", owner: "Replica\nSet", ownerName: "\x1b[2J" + strings.Repeat("x", 5000),
		containers: map[string]string{container: id("7")}})
	w, _ := watch(t, "headroom")
	outside.Eventually(t, patience, "the pod is named", func() bool { return w.Pod(uid) != nil })
	if got := w.Pod(uid)[catalog.AttrWorkload]; got != "pod/"+name {
		t.Errorf("workload = %.100q, want the pod itself", got)
	}
	sink, log := tell(t, w)
	f := blocked(name)
	f.Subject.Container = container
	f.Summary = "requests to no\nde\x1b[31m\u202e\xff wait " + strings.Repeat("µ", 1000)
	f.Recommendations[0].Action = "Move the computing of " + strings.Repeat("n", 1000)
	withLocal(f)
	sink.Publish(change(f, state.Pending, state.Firing))
	sink.Publish(change(f, state.Firing, state.Cleared))
	sink.Publish(change(f, state.Cleared, state.Firing)) // patches the first
	outside.Eventually(t, patience, "all are sent", func() bool { return sink.Stats().Sent == 3 })
	if log.count("level=WARN") != 0 {
		t.Errorf("logged:\n%s", log)
	}
	got := events(t, "web", name)
	if len(got) != 2 {
		t.Fatalf("events = %+v, want that it fires and that it is over", got)
	}
	for _, e := range got {
		if len(e.Message) > 1024 || e.Message != printable.Text(e.Message) || !strings.Contains(e.Message, "requests to no de?[31m?� wait µµ") {
			t.Errorf("message of %d bytes: %q", len(e.Message), e.Message)
		}
		if e.Involved.UID != uid || e.Involved.FieldPath != "spec.containers{"+container+"}" {
			t.Errorf("involved = %+v", e.Involved)
		}
	}
}

// TestForgedMirror creates a pod that claims the cgroup of another one, which the API
// server admits. The other pod must keep its name and its Events.
func TestForgedMirror(t *testing.T) {
	uid := server.create(t, pod{namespace: "web", name: "victim", node: "node-1", containers: map[string]string{"api": id("8")}})
	w, _ := watch(t, "headroom")
	outside.Eventually(t, patience, "the pod is named", func() bool { return w.Pod(uid) != nil })
	server.create(t, pod{namespace: "other", name: "forged", node: "node-1", containers: map[string]string{"api": ""},
		annotations: map[string]string{"kubernetes.io/config.mirror": uid}})
	last := server.create(t, pod{namespace: "other", name: "last", node: "node-1", containers: map[string]string{"api": ""}})
	outside.Eventually(t, patience, "what was created after it is named", func() bool { return w.Pod(last) != nil })
	if got := w.Pod(uid); got[catalog.AttrPodName] != "victim" || got[catalog.AttrNamespace] != "web" {
		t.Errorf("the pod of the victim's cgroup = %v", got)
	}
	server.do(t, "", "delete", "pod", "forged", "-n", "other", "--grace-period=0", "--force")
	again := server.create(t, pod{namespace: "other", name: "again", node: "node-1", containers: map[string]string{"api": ""}})
	outside.Eventually(t, patience, "what was created after its end is named", func() bool { return w.Pod(again) != nil })
	if got := w.UID("web", "victim"); got != uid {
		t.Errorf("the UID of the victim = %q, want %s", got, uid)
	}
}

// TestNamespaceDeleted checks that an Event forbidden because its namespace is being
// deleted is not reported as a missing permission, and does not delay other Events.
func TestNamespaceDeleted(t *testing.T) {
	gone := server.create(t, pod{namespace: "leaving", name: "leaving", node: "node-1", containers: map[string]string{"api": id("4")}})
	uid := server.create(t, pod{namespace: "web", name: "staying", node: "node-1", containers: map[string]string{"api": id("5")}})
	w, _ := watch(t, "headroom")
	outside.Eventually(t, patience, "the pods are named", func() bool { return w.Pod(gone) != nil && w.Pod(uid) != nil })
	sink, log := tell(t, w)
	server.do(t, "", "delete", "namespace", "leaving", "--wait=false")
	f := blocked("leaving")
	f.Subject.Namespace = "leaving"
	began := time.Now()
	sink.Publish(change(f, state.Pending, state.Firing))
	sink.Publish(change(blocked("staying"), state.Pending, state.Firing))
	outside.Eventually(t, patience, "the other is sent", func() bool { return sink.Stats().Sent == 1 })
	if got, took := sink.Stats(), time.Since(began); got.Dropped != 1 || got.Failed != 0 || log.count("level=WARN") != 0 || took > 20*time.Second {
		t.Errorf("after %v: %+v, want one dropped, and no warning:\n%s", took, got, log)
	}
}

// TestNoPermissionForEvents checks that this is logged once, and fixed by the permission.
func TestNoPermissionForEvents(t *testing.T) {
	uid := server.create(t, pod{namespace: "web", name: "silent", node: "node-1", containers: map[string]string{"api": id("f")}})
	server.do(t, "", "create", "serviceaccount", "reader", "-n", "headroom")
	server.do(t, "", "create", "clusterrole", "reader", "--verb=list,watch", "--resource=pods")
	server.do(t, "", "create", "clusterrolebinding", "reader", "--clusterrole=reader", "--serviceaccount=headroom:reader")
	w, _ := watch(t, "reader")
	outside.Eventually(t, patience, "the pod is named", func() bool { return w.Pod(uid) != nil })
	sink, log := tell(t, w)
	for range 3 {
		sink.Publish(change(blocked("silent"), state.Pending, state.Firing))
	}
	outside.Eventually(t, patience, "they are refused", func() bool { return sink.Stats().Failed == 3 })
	if n := log.count("level=WARN"); n != 1 || log.count("create and patch events") != 1 {
		t.Errorf("logged %d warnings, want one with the fix", n)
	}
	server.do(t, "", "create", "clusterrolebinding", "reader-events", "--clusterrole=headroom", "--serviceaccount=headroom:reader")
	outside.Eventually(t, patience, "they are taken once it may", func() bool {
		sink.Publish(change(blocked("silent"), state.Pending, state.Firing))
		time.Sleep(time.Second)
		return sink.Stats().Sent > 0
	})
}

// TestServerGone kills and restarts the API server: pods that changed in the meantime
// must be known, and findings from that time must be published.
func TestServerGone(t *testing.T) {
	uid := server.create(t, pod{namespace: "web", name: "survivor", node: "node-1", containers: map[string]string{"api": id("1")}})
	w, _ := watch(t, "headroom")
	outside.Eventually(t, patience, "the pod is named", func() bool { return w.Pod(uid) != nil })
	sink, _ := tell(t, w)
	server.killAPI(t)
	outside.Eventually(t, patience, "it says that the API server is gone", func() bool { reason, _ := w.Missing(); return reason != "" })
	if w.Container(id("1")) == nil {
		t.Error("known names were lost")
	}
	sink.Publish(change(blocked("survivor"), state.Pending, state.Firing))
	if err := server.startAPI(); err != nil {
		t.Fatal(err)
	}
	after := server.create(t, pod{namespace: "web", name: "newcomer", node: "node-1", containers: map[string]string{"api": id("2")}})
	outside.Eventually(t, patience, "a pod that is new is named", func() bool { return w.Pod(after) != nil && w.Container(id("2")) != nil })
	if reason, _ := w.Missing(); reason != "" {
		t.Errorf("missing: %s", reason)
	}
	defer func() { t.Logf("Events: %+v", sink.Stats()) }()
	outside.Eventually(t, patience, "what was found meanwhile is told", func() bool { return len(events(t, "web", "survivor")) == 1 })
}
