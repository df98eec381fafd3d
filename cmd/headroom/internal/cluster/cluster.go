// SPDX-License-Identifier: Apache-2.0

// Package cluster connects the agent to Kubernetes: it resolves the names of this
// node's pods, and publishes findings as Events. Without the API server the agent
// runs without names, and a gap reports that.
package cluster

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
	"github.com/headroom-project/headroom/analyzers/publish"
	kubevents "github.com/headroom-project/headroom/analyzers/publish/kube"
)

// Options set whether to use the API server, and the name of the node.
type Options struct {
	Mode      string // Auto, On or Off
	Node      string // name of this node in the API
	KubeletCA string // PEM file of the CA of the kubelet's certificate
}

// Values of --kubernetes.
const (
	Auto = "auto"
	On   = "on"
	Off  = "off"
)

// Environment variables of a pod: the API server's address, which the kubelet sets,
// and the fields that the manifest takes from the downward API.
const (
	envAPIServer = "KUBERNETES_SERVICE_HOST"
	EnvNodeName  = "NODE_NAME"
	envNodeIP    = "NODE_IP"
)

// wanted reports whether to use the API server.
func (o *Options) wanted() (bool, error) {
	switch o.Mode {
	case Auto:
		return os.Getenv(envAPIServer) != "", nil
	case On:
		return true, nil
	case Off:
		return false, nil
	}
	return false, fmt.Errorf("--kubernetes %s: unknown mode (known: %s, %s, %s)", o.Mode, Auto, On, Off)
}

// firstNames is how long Start waits for the names of the pods: a pod that is named
// later changes its series.
const firstNames = time.Second

// An Agent resolves pod names and publishes Events.
type Agent struct {
	pods  *kube.Watcher
	sink  *kubevents.Sink
	tasks sync.WaitGroup
}

// Start resolves pod names until ctx ends. It returns nil if Kubernetes is not
// wanted, or cannot be used: no token, no permissions or no API server.
func Start(ctx context.Context, o *Options, on *sampler.Host, log *slog.Logger) (*Agent, error) {
	wanted, err := o.wanted()
	if err != nil || !wanted {
		return nil, err
	}
	config, missing := o.config(log)
	if missing != nil {
		log.Warn("pod names are not available: pods are known by their cgroups only", "err", missing)
		on.Orchestrator = kube.Unknown(missing)
		return nil, nil
	}
	k := &Agent{}
	if k.pods, err = kube.New(config); err != nil {
		return nil, fmt.Errorf("--kubernetes: %w", err)
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

// Sink returns the sink that publishes findings as Events.
func (k *Agent) Sink() publish.Sink { return k.sink }

// Wait waits for the goroutines of Start, which end with its context.
func (k *Agent) Wait() { k.tasks.Wait() }

var (
	kubePods    = prometheus.NewDesc("headroom_kube_pods", "Number of pods of this node with a known name.", nil, nil)
	kubeRefused = prometheus.NewDesc("headroom_kube_pods_refused_total", "Number of pods that were not tracked because the limit was reached.", nil, nil)
	kubeKnown   = prometheus.NewDesc(self.KubeUp, "1 while the API server or the kubelet lists the pods of this node, 0 while not.", nil, nil)
	kubeEvents  = prometheus.NewDesc(self.KubeEvents, "Number of Kubernetes Events about findings. The label result is sent, failed (the API server refused it) or dropped (the limit was reached, it was too old, or the namespace of the pod is being deleted).", []string{self.LabelResult}, nil)
)

// Describe implements prometheus.Collector.
func (k *Agent) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(k, ch) }

// Collect implements prometheus.Collector.
func (k *Agent) Collect(ch chan<- prometheus.Metric) {
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

// NodeName returns the name of this node in the API, "" if it is not known.
func (o *Options) NodeName() string { return cmp.Or(o.Node, os.Getenv(EnvNodeName)) }

// config returns the connection to the API server, or why it cannot be reached.
func (o *Options) config(log *slog.Logger) (kube.Config, error) {
	node := o.NodeName()
	if node == "" {
		return kube.Config{}, sampler.NotSupported("set NODE_NAME from spec.nodeName (downward API), or --kubernetes.node", "the name of this node is not known")
	}
	api, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return kube.Config{}, sampler.NotSupported("run it in a pod, or with --kubernetes=off", "not running in a pod: %s is not set", envAPIServer)
	} else if err != nil {
		return kube.Config{}, sampler.NotSupported("give the pod a service account with a token (automountServiceAccountToken: true)", "%v", err)
	}
	return kube.Config{API: api, Node: node, Kubelet: os.Getenv(envNodeIP), KubeletCA: o.KubeletCA, Log: log}, nil
}
