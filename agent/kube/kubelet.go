// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

const (
	kubeletPort = "10250"
	// kubeletEvery is the time between two requests to the kubelet, which has no
	// watch.
	kubeletEvery = 15 * time.Second
	// maxAnswer is the maximum size of a kubelet response: 500 pods of 64 KiB.
	maxAnswer = 32 << 20
)

// A kubelet lists the pods that it runs, without the API server. It still checks
// the token at the API server, and caches the result for minutes.
type kubelet struct {
	url    string
	client *http.Client
	every  time.Duration
}

func newKubelet(api *rest.Config, address, ca string) (*kubelet, error) {
	config := rest.AnonymousClientConfig(api)
	config.BearerToken, config.BearerTokenFile = api.BearerToken, api.BearerTokenFile
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, kubeletPort)
	}
	config.Host = "https://" + address
	config.ServerName = ""
	if ca != "" {
		config.CAFile, config.CAData = ca, nil
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client of the kubelet: %w", err)
	}
	client.Timeout = kubeletEvery
	return &kubelet{url: config.Host + "/pods", client: client, every: kubeletEvery}, nil
}

// pods returns the pods that the kubelet runs.
func (k *kubelet) pods(ctx context.Context) ([]*pod, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s (requires the permission to get nodes/pods)", k.url, resp.Status)
	}
	var list PodList
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", k.url, err)
	}
	all := make([]*pod, len(list.Items))
	for i := range list.Items {
		all[i] = trim(&list.Items[i])
	}
	return all, nil
}

// standIn asks the kubelet while the API server does not answer.
func (w *Watcher) standIn(ctx context.Context) {
	said := ""
	for sleep(ctx, w.kubelet.every); ctx.Err() == nil; sleep(ctx, w.kubelet.every) {
		if w.answers() {
			said = ""
			continue
		}
		all, err := w.kubelet.pods(ctx)
		if err == nil {
			w.replace(all)
			w.mu.Lock()
			w.stoodIn = time.Now()
			w.list()
			w.mu.Unlock()
		} else if said != err.Error() && ctx.Err() == nil {
			w.log.Warn("cannot list pods from the kubelet either", "err", err)
			said = err.Error()
		}
	}
}

// answers reports whether the API server answers.
func (w *Watcher) answers() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.reason == ""
}
