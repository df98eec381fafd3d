// SPDX-License-Identifier: Apache-2.0

package host

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
)

// onePod is an orchestrator that knows one pod.
type onePod string

func (onePod) Version() uint64                                { return 1 }
func (onePod) Container(string) map[string]string             { return nil }
func (onePod) Requests(string) (cpu, memory float64, ok bool) { return 0, 0, false }
func (onePod) Missing() (reason, cure string)                 { return "", "" }

func (p onePod) Pod(uid string) map[string]string {
	if uid != string(p) {
		return nil
	}
	return map[string]string{catalog.AttrPodName: "shop-1"}
}

// TestPodsAreNamed checks that the resolver of cgroups uses the orchestrator, through
// all wrappers.
func TestPodsAreNamed(t *testing.T) {
	const uid = "0d39e4f2-6a0c-4d3a-9a52-6a6f7d4c1b11"
	h := New(100)
	h.Identity.Ask(onePod(uid))
	pod := h.Identity.Cgroup("/kubepods/besteffort/pod" + uid)
	if got := h.Index.Attr(pod, catalog.AttrPodName); got != "shop-1" {
		t.Errorf("the name of the pod = %q, want shop-1", got)
	}
}
