// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// A Watcher keeps Pods up to date.
type Watcher struct {
	*Pods
	node    string
	client  *rest.RESTClient
	kubelet *kubelet // nil for none
	log     *slog.Logger
}

// Config holds the address of the API server and the name of the node.
type Config struct {
	// API is the address of the API server, and the credentials.
	API *rest.Config
	// Node is the name of the node in the API.
	Node string
	// Kubelet is the address of the node's kubelet, 10.0.0.1 or with a port, "" to ask
	// none. KubeletCA is the file of the CA that signed its certificate, "" for the
	// cluster's own.
	Kubelet, KubeletCA string
	Log                *slog.Logger
}

// New returns a Watcher that is not connected yet.
func New(c Config) (*Watcher, error) {
	w := &Watcher{Pods: newPods(), node: c.Node, log: c.Log}
	config := rest.CopyConfig(c.API)
	config.GroupVersion, config.APIPath, config.NegotiatedSerializer = &coreV1, "/api", codecs()
	config.WarningHandler = rest.NoWarnings{}
	var err error
	if w.client, err = rest.RESTClientFor(config); err != nil {
		return nil, fmt.Errorf("creating a client of the API server: %w", err)
	}
	if c.Kubelet == "" {
		return w, nil
	}
	w.kubelet, err = newKubelet(c.API, c.Kubelet, c.KubeletCA)
	return w, err
}

// Client returns a client of the API server for the group "", version v1.
func (w *Watcher) Client() rest.Interface { return w.client }

const (
	// firstRetry and lastRetry are the first and the longest delay before the API
	// server is asked again. The delay doubles, and a random half is added, so that
	// not all nodes ask at once.
	firstRetry, lastRetry = time.Second, 30 * time.Second
	// listTime is the time limit of a list request.
	listTime = 30 * time.Second
)

// Watch follows the pods until ctx ends.
func (w *Watcher) Watch(ctx context.Context) {
	if w.kubelet != nil {
		done := make(chan struct{})
		go func() { defer close(done); w.standIn(ctx) }()
		defer func() { <-done }()
	}
	silent := logr.Discard() // failures are reported as a Gap, and once in the agent's own log
	quiet := logr.NewContext(ctx, silent)
	reflector := cache.NewReflectorWithOptions(asked{w}, &Pod{}, store{w.Pods}, cache.ReflectorOptions{Name: "pods", Logger: &silent})
	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		began := time.Now()
		err := reflector.ListAndWatchWithContext(quiet)
		if time.Since(began) > lastRetry {
			wait = firstRetry // the watch worked for a while
		}
		if err != nil {
			w.failed(err)
		}
		sleep(ctx, wait+rand.N(wait/2))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// asked is a cache.ListerWatcher that records how the API server answers: a
// Reflector does not report that it retries a watch.
type asked struct{ w *Watcher }

// IsWatchListSemanticsUnSupported makes the Reflector list: the pods of a node are
// one small answer from the API server's cache, and a list has a definite end.
func (asked) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext implements cache.ListerWithContext.
func (a asked) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	list := &PodList{}
	if err := a.request(&o).Do(ctx).Into(list); err != nil {
		a.w.failed(err)
		return nil, err
	}
	a.w.answered(len(list.Items))
	return list, nil
}

// WatchWithContext implements cache.WatcherWithContext.
func (a asked) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.Watch = true
	changes, err := a.request(&o).Watch(ctx)
	if err != nil {
		a.w.failed(err)
		return nil, err
	}
	known, _ := a.w.Count()
	a.w.answered(known)
	return changes, nil
}

func (a asked) request(o *metav1.ListOptions) *rest.Request {
	o.FieldSelector = "spec.nodeName=" + a.w.node
	return a.w.client.Get().Resource("pods").VersionedParams(o, metav1.ParameterCodec)
}

// List and Watch are required by cache.ListerWatcher and never called.
func (a asked) List(o metav1.ListOptions) (runtime.Object, error) {
	return a.ListWithContext(context.Background(), o)
}

// Watch is required like List.
func (a asked) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return a.WatchWithContext(context.Background(), o)
}

// answered records the number of pods that the API server listed.
func (w *Watcher) answered(pods int) {
	w.mu.Lock()
	w.empty = pods == 0
	w.mu.Unlock()
	if pods == 0 {
		w.miss(fmt.Sprintf("the API server has no pods on a node named %q", w.node),
			"set NODE_NAME from spec.nodeName (downward API), or --kubernetes.node, to the node's name")
		return
	}
	w.know()
}

// know records that the API server listed the pods.
func (w *Watcher) know() {
	w.mu.Lock()
	again := w.logged
	w.reason, w.cure, w.logged = "", "", false
	w.list()
	w.mu.Unlock()
	if again {
		w.log.Info("listing this node's pods from the API server works again")
	}
}

func (w *Watcher) failed(err error) {
	w.mu.Lock()
	w.empty = false
	w.mu.Unlock()
	reason, cure := explain(err)
	w.miss(reason, cure)
}

// miss records why the pods could not be listed from the API server, and logs it
// once.
func (w *Watcher) miss(reason, cure string) {
	w.mu.Lock()
	news := !w.logged || w.cure != cure
	w.reason, w.cure, w.logged = reason, cure, true
	w.mu.Unlock()
	if news {
		w.log.Warn("pod names are missing or outdated: "+reason, "cure", cure)
	}
}

// explain returns what an error of the API server means, and its fix.
func explain(err error) (reason, cure string) {
	switch status := apierrors.APIStatus(nil); {
	case apierrors.IsForbidden(err):
		return "the API server does not let headroom list and watch pods", "bind its service account to the ClusterRole of docs/kubernetes.md"
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept headroom's token", "give its pod a service account (automountServiceAccountToken: true)"
	case errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError:
		return "listing pods from the API server failed: " + err.Error(), ""
	}
	return "the API server cannot be reached: " + err.Error(), "check that KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT can be reached from this node"
}
