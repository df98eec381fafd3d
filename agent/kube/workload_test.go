// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWorkloadOf(t *testing.T) {
	made := time.Date(2026, 11, 25, 3, 0, 12, 0, time.UTC)
	for _, c := range []struct {
		owner, ownerName, hash string
		kind, name             string
	}{
		{"ReplicaSet", "shop-7d9c5b8f6d", "7d9c5b8f6d", "Deployment", "shop"},
		{"ReplicaSet", "shop-2-7d9c5b8f6d", "7d9c5b8f6d", "Deployment", "shop-2"},
		{"ReplicaSet", "by-hand", "", "ReplicaSet", "by-hand"},
		{"ReplicaSet", "rollout-abc", "xyz", "ReplicaSet", "rollout-abc"},
		{"StatefulSet", "db", "", "StatefulSet", "db"},
		{"DaemonSet", "agent", "", "DaemonSet", "agent"},
		{"Job", "report-29926260", "", "CronJob", "report"},      // 03:00 on that day
		{"Job", "report-29926020", "", "CronJob", "report"},      // a retry, four hours later
		{"Job", "import-20251231", "", "Job", "import-20251231"}, // a date
		{"Job", "report-29926320", "", "Job", "report-29926320"}, // one hour in the future
		{"Job", "migrate", "", "Job", "migrate"},
		{"Job", "step-2", "", "Job", "step-2"},
		{"Node", "node-1", "", "Pod", "pod"},
		{"StrimziPodSet", "kafka", "", "StrimziPodSet", "kafka"},
		{"", "", "", "Pod", "pod"},
		// The API server accepts these owner references.
		{"ReplicaSet", "shop\n\x1b[2J-7d9", "7d9", "Pod", "pod"},
		{"ReplicaSet", "shop of `id`", "", "Pod", "pod"},
		{"ReplicaSet", strings.Repeat("a", 254), "", "Pod", "pod"},
		{"Replica\nSet", "shop", "", "Pod", "pod"},
		{strings.Repeat("A", 64), "shop", "", "Pod", "pod"},
	} {
		m := metav1.ObjectMeta{Name: "pod", CreationTimestamp: metav1.Time{Time: made}}
		if c.hash != "" {
			m.Labels = map[string]string{templateHash: c.hash}
		}
		if c.owner != "" {
			yes := true
			m.OwnerReferences = []metav1.OwnerReference{{Kind: "ConfigMap", Name: "other"}, {Kind: c.owner, Name: c.ownerName, Controller: &yes}}
		}
		if kind, name := workloadOf(&m); kind != c.kind || name != c.name {
			t.Errorf("a pod of %s %s is of %s %s, want %s %s", c.owner, c.ownerName, kind, name, c.kind, c.name)
		}
	}
}
