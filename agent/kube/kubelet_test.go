// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// TestKubeletStandsIn checks that the kubelet is used if the API server cannot be
// reached; it returns a pod as an API server sent it. The lab has a test with a real
// kubelet.
func TestKubeletStandsIn(t *testing.T) {
	pod, err := os.ReadFile("testdata/pod.json")
	if err != nil {
		t.Fatal(err)
	}
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pods" || r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PodList", "apiVersion": "v1", "items": []json.RawMessage{pod}})
	}))
	defer kubelet.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: kubelet.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{
		API: &rest.Config{Host: "https://127.0.0.1:1", BearerToken: "secret"}, Node: "node-1",
		Kubelet: strings.TrimPrefix(kubelet.URL, "https://"), KubeletCA: ca, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.kubelet.every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { w.Watch(ctx) })
	defer watching.Wait()
	defer cancel()
	select {
	case <-w.Listed():
	case <-time.After(10 * time.Second):
		t.Fatal("the kubelet was not asked")
	}
	if w.Container("aaaa") == nil {
		t.Error("its pod is not known")
	}
	if reason, _ := w.Missing(); reason != "" || w.answers() {
		t.Errorf("missing %q, the API server answers: %v, want that nothing is missing without it", reason, w.answers())
	}
}

// TestKubeletOfAnother checks that a kubelet with an untrusted certificate gets no
// token.
func TestKubeletOfAnother(t *testing.T) {
	asked := false
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer kubelet.Close()
	kubelet.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	k, err := newKubelet(&rest.Config{Host: "https://127.0.0.1:1", BearerToken: "secret"}, strings.TrimPrefix(kubelet.URL, "https://"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.pods(t.Context()); err == nil || asked {
		t.Errorf("a stranger was asked: %v, %v", asked, err)
	}
}
