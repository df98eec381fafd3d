// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/kube"
	"github.com/headroom-project/headroom/agent/sampler"
)

// kubeOptions are the flags of agent about Kubernetes.
type kubeOptions struct {
	mode      string
	node      string
	kubeletCA string
}

// The values of --kubernetes.
const (
	kubeAuto = "auto"
	kubeOn   = "on"
	kubeOff  = "off"
)

// The environment of a pod: the API server's address, which the kubelet sets,
// and what the manifest takes from the downward API.
const (
	envAPIServer = "KUBERNETES_SERVICE_HOST"
	envNodeName  = "NODE_NAME"
	envNodeIP    = "NODE_IP"
)

func (o *kubeOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.mode, "kubernetes", kubeAuto, "name pods and tell findings as Events: on, off, or auto: on in a pod")
	f.StringVar(&o.node, "kubernetes.node", "", "name of this node in the API (default $"+envNodeName+")")
	f.StringVar(&o.kubeletCA, "kubernetes.kubelet-ca", "", "what the kubelet's certificate is checked by, a PEM file (default the cluster's CA)")
}

// wanted says whether the API server is to be asked.
func (o *kubeOptions) wanted() (bool, error) {
	switch o.mode {
	case kubeAuto:
		return os.Getenv(envAPIServer) != "", nil
	case kubeOn:
		return true, nil
	case kubeOff:
		return false, nil
	}
	return false, fmt.Errorf("--kubernetes %s: it is %s, %s or %s", o.mode, kubeAuto, kubeOn, kubeOff)
}

// firstNames is how long the agent waits for the pods before it looks at
// anything: what is named later changes its series.
const firstNames = time.Second

// watchKube has pods named for as long as ctx lasts. What it returns waits for
// the end of that. Without a token, permissions or the API server the agent goes
// on without names, and a Gap says so.
func watchKube(ctx context.Context, o *kubeOptions, host *sampler.Host, log *slog.Logger) (wait func(), err error) {
	wanted, err := o.wanted()
	if err != nil || !wanted {
		return func() {}, err
	}
	config, missing := o.config(log)
	if missing != nil {
		log.Warn("pods are known by their cgroups alone", "err", missing)
		host.Orchestrator = kube.Unknown(missing)
		return func() {}, nil
	}
	pods, err := kube.New(config)
	if err != nil {
		return nil, fmt.Errorf("--kubernetes: %w", err)
	}
	host.Orchestrator = pods
	if r, ok := host.Identity.(*identity.Resolver); ok {
		r.Ask(pods)
	}
	var all sync.WaitGroup
	all.Go(func() { pods.Watch(ctx) })
	select {
	case <-pods.Listed():
	case <-ctx.Done():
	case <-time.After(firstNames):
	}
	return all.Wait, nil
}

// config is whom to ask, or why nobody can be asked.
func (o *kubeOptions) config(log *slog.Logger) (kube.Config, error) {
	node := cmp.Or(o.node, os.Getenv(envNodeName))
	if node == "" {
		return kube.Config{}, sampler.NotSupported("set NODE_NAME from spec.nodeName (downward API), or --kubernetes.node", "the name of this node is not known")
	}
	api, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return kube.Config{}, sampler.NotSupported("run it in a pod, or with --kubernetes=off", "this is no pod: %s is not set", envAPIServer)
	} else if err != nil {
		return kube.Config{}, sampler.NotSupported("give the pod a service account with a token (automountServiceAccountToken: true)", "%v", err)
	}
	return kube.Config{API: api, Node: node, Kubelet: os.Getenv(envNodeIP), KubeletCA: o.kubeletCA, Log: log}, nil
}
