// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// hostOf returns a host without any entities.
func hostOf(t *testing.T) *sampler.Host {
	t.Helper()
	x := observe.NewIndex(observe.DefaultLimit)
	return &sampler.Host{Index: x, Identity: identity.New(t.TempDir(), t.TempDir(), x)}
}

// outside clears the environment variables of a pod.
func outside(t *testing.T) {
	t.Helper()
	for _, name := range []string{envAPIServer, "KUBERNETES_SERVICE_PORT", EnvNodeName, envNodeIP} {
		t.Setenv(name, "")
		os.Unsetenv(name) //nolint:errcheck // it was set a line above; Setenv restores it
	}
}

// TestStartWithout checks that the agent runs without Kubernetes if it is off or cannot
// be reached, and that in the second case a gap contains the reason and the fix.
func TestStartWithout(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		env     map[string]string
		reason  string // of the gap, "" for none
		cure    string
	}{
		{"off", Options{Mode: Off}, map[string]string{envAPIServer: "192.0.2.1"}, "", ""},
		{"auto outside a pod", Options{Mode: Auto}, nil, "", ""},
		{"on without a node", Options{Mode: On}, nil, "the name of this node is not known", "NODE_NAME"},
		{"on outside a pod", Options{Mode: On, Node: "a"}, nil, "not running in a pod", "--kubernetes=off"},
		{"the node by the environment", Options{Mode: On}, map[string]string{EnvNodeName: "a"}, "not running in a pod", "--kubernetes=off"},
		{"auto in a pod without a token", Options{Mode: Auto, Node: "a"},
			map[string]string{envAPIServer: "192.0.2.1", "KUBERNETES_SERVICE_PORT": "443"}, "serviceaccount", "automountServiceAccountToken"},
	} {
		outside(t)
		for name, value := range c.env {
			t.Setenv(name, value)
		}
		var log bytes.Buffer
		on := hostOf(t)
		k, err := Start(context.Background(), &c.options, on, slog.New(slog.NewTextHandler(&log, nil)))
		if k != nil || err != nil {
			t.Errorf("%s: Start = %v, %v, want neither", c.name, k, err)
			continue
		}
		if c.reason == "" {
			if on.Orchestrator != nil || log.Len() > 0 {
				t.Errorf("%s: the orchestrator is %v, and the log is %q", c.name, on.Orchestrator, log.String())
			}
			continue
		}
		if on.Orchestrator == nil {
			t.Errorf("%s: no gap can be reported", c.name)
			continue
		}
		if reason, cure := on.Orchestrator.Missing(); !strings.Contains(reason, c.reason) || !strings.Contains(cure, c.cure) {
			t.Errorf("%s: the gap is %q, fix %q; want %q, fix %q", c.name, reason, cure, c.reason, c.cure)
		}
		if !strings.Contains(log.String(), "pod names are not available") {
			t.Errorf("%s: the log is %q", c.name, log.String())
		}
	}
}

// TestStartRefuses checks that an unknown mode is refused.
func TestStartRefuses(t *testing.T) {
	outside(t)
	k, err := Start(context.Background(), &Options{Mode: "maybe"}, hostOf(t), slog.New(slog.DiscardHandler))
	if k != nil || err == nil || !strings.Contains(err.Error(), "--kubernetes maybe: unknown mode (known: auto, on, off)") {
		t.Errorf("Start = %v, %v", k, err)
	}
}

func TestConfigNames(t *testing.T) {
	outside(t)
	o := Options{Node: "by-flag"}
	t.Setenv(EnvNodeName, "by-environment")
	if got := o.NodeName(); got != "by-flag" {
		t.Errorf("with both the node is %q, want that of the flag", got)
	}
	o.Node = ""
	if got := o.NodeName(); got != "by-environment" {
		t.Errorf("without the flag the node is %q", got)
	}
	if _, err := (&Options{Node: "a"}).config(nil); !errors.Is(err, sampler.ErrNotSupported) {
		t.Errorf("outside a pod: %v, want ErrNotSupported, which becomes a gap", err)
	}
}
