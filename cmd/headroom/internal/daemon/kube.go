// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/kube"
	"github.com/headroom-project/headroom/agent/sampler"
	kubevents "github.com/headroom-project/headroom/analyzers/publish/kube"
)

// KubeOptions say whether and as which node the API server is asked.
type KubeOptions struct {
	Mode      string // KubeAuto, KubeOn or KubeOff
	Node      string // name of this node in the API
	KubeletCA string // PEM file that the kubelet's certificate is checked by
}

// The values of --kubernetes.
const (
	KubeAuto = "auto"
	KubeOn   = "on"
	KubeOff  = "off"
)

// The environment of a pod: the API server's address, which the kubelet sets,
// and what the manifest takes from the downward API.
const (
	envAPIServer = "KUBERNETES_SERVICE_HOST"
	EnvNodeName  = "NODE_NAME"
	envNodeIP    = "NODE_IP"
)

// wanted says whether the API server is to be asked.
func (o *KubeOptions) wanted() (bool, error) {
	switch o.Mode {
	case KubeAuto:
		return os.Getenv(envAPIServer) != "", nil
	case KubeOn:
		return true, nil
	case KubeOff:
		return false, nil
	}
	return false, fmt.Errorf("--kubernetes %s: unknown mode (known: %s, %s, %s)", o.Mode, KubeAuto, KubeOn, KubeOff)
}

// firstNames is how long the agent waits for the pods before it looks at
// anything: what is named later changes its series.
const firstNames = time.Second

// A kubeAgent names pods and tells findings as Events. The zero one does
// neither.
type kubeAgent struct {
	pods  *kube.Watcher
	sink  *kubevents.Sink
	tasks sync.WaitGroup
}

// startKube has pods named for as long as ctx lasts. Without a token,
// permissions or the API server the agent goes on without names, and a Gap says
// so.
func startKube(ctx context.Context, o *KubeOptions, on *sampler.Host, log *slog.Logger) (*kubeAgent, error) {
	k := &kubeAgent{}
	wanted, err := o.wanted()
	if err != nil || !wanted {
		return k, err
	}
	config, missing := o.config(log)
	if missing != nil {
		log.Warn("pod names are not available: pods are known by their cgroups only", "err", missing)
		on.Orchestrator = kube.Unknown(missing)
		return k, nil
	}
	if k.pods, err = kube.New(config); err != nil {
		return k, fmt.Errorf("--kubernetes: %w", err)
	}
	on.Orchestrator = k.pods
	on.Identity.Ask(k.pods)
	k.sink = kubevents.New(kubevents.Config{Client: k.pods.Client(), Node: config.Node, UID: k.pods.UID, Log: log})
	k.tasks.Go(func() { k.pods.Watch(ctx) })
	k.tasks.Go(func() { k.sink.Run(ctx) })
	select {
	case <-k.pods.Listed():
	case <-ctx.Done():
	case <-time.After(firstNames):
	}
	return k, nil
}

// attach has w's findings told, and what became of them among its metrics.
func (k *kubeAgent) attach(w *watcher) {
	if k.sink == nil {
		return
	}
	w.sinks = append(w.sinks, k.sink)
	w.own.MustRegister(k)
}

// wait is for the end of ctx.
func (k *kubeAgent) wait() { k.tasks.Wait() }

var (
	kubePods    = prometheus.NewDesc("headroom_kube_pods", "Pods of this node whose names are known.", nil, nil)
	kubeRefused = prometheus.NewDesc("headroom_kube_pods_refused_total", "Pods that found no room.", nil, nil)
	kubeKnown   = prometheus.NewDesc(self.KubeUp, "1 while the API server or the kubelet tells of this node's pods.", nil, nil)
	kubeEvents  = prometheus.NewDesc(self.KubeEvents, "Events about findings, by what became of them: sent, failed (refused), dropped (no room, too old, or the namespace of the pod is being deleted).", []string{self.LabelResult}, nil)
)

// Describe implements prometheus.Collector.
func (k *kubeAgent) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(k, ch) }

// Collect implements prometheus.Collector.
func (k *kubeAgent) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	known, refused := k.pods.Count()
	missing, _ := k.pods.Missing()
	events := k.sink.Stats()
	send(kubePods, prometheus.GaugeValue, float64(known))
	send(kubeRefused, prometheus.CounterValue, float64(refused))
	send(kubeKnown, prometheus.GaugeValue, self.Bool(missing == ""))
	send(kubeEvents, prometheus.CounterValue, float64(events.Sent), self.ResultSent)
	send(kubeEvents, prometheus.CounterValue, float64(events.Failed), "failed")
	send(kubeEvents, prometheus.CounterValue, float64(events.Dropped), "dropped")
}

func (o *KubeOptions) nodeName() string { return cmp.Or(o.Node, os.Getenv(EnvNodeName)) }

// config is whom to ask, or why nobody can be asked.
func (o *KubeOptions) config(log *slog.Logger) (kube.Config, error) {
	node := o.nodeName()
	if node == "" {
		return kube.Config{}, sampler.NotSupported("set NODE_NAME from spec.nodeName (downward API), or --kubernetes.node", "the name of this node is not known")
	}
	api, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return kube.Config{}, sampler.NotSupported("run it in a pod, or with --kubernetes=off", "this is no pod: %s is not set", envAPIServer)
	} else if err != nil {
		return kube.Config{}, sampler.NotSupported("give the pod a service account with a token (automountServiceAccountToken: true)", "%v", err)
	}
	return kube.Config{API: api, Node: node, Kubelet: os.Getenv(envNodeIP), KubeletCA: o.KubeletCA, Log: log}, nil
}
