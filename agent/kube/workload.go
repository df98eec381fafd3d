// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/headroom-project/headroom/agent/catalog"
)

// templateHash is the label in which a Deployment writes the last part of its
// ReplicaSets' names.
const templateHash = "pod-template-hash"

// workloadOf returns the workload of a pod: what people wrote, rather than what a
// controller made of it. It is derived from names, without a request.
//
//	ReplicaSet shop-7d9c5b8f6d with pod-template-hash=7d9c5b8f6d → Deployment shop
//	Job report-29926260 → CronJob report
func workloadOf(m *metav1.ObjectMeta) (kind, name string) {
	owner := controllerOf(m)
	switch owner.Kind {
	case "":
		return "Pod", m.Name
	case "Node": // a file on the node, which the kubelet shows to the API server
		return "Pod", m.Name
	case "ReplicaSet":
		hash := m.Labels[templateHash]
		if deployment, ok := strings.CutSuffix(owner.Name, "-"+hash); ok && hash != "" {
			return "Deployment", deployment
		}
	case "Job":
		if cron, ok := cronJobOf(owner.Name, m.CreationTimestamp.Time); ok {
			return "CronJob", cron
		}
	}
	return owner.Kind, owner.Name
}

func controllerOf(m *metav1.ObjectMeta) metav1.OwnerReference {
	for _, o := range m.OwnerReferences {
		if o.Controller != nil && *o.Controller && canExist(o) {
			return o
		}
	}
	return metav1.OwnerReference{}
}

// canExist reports whether an object of that kind and name can exist. The API
// server only requires that an owner reference has some text in both, of any
// length, and the creator of a pod writes it.
func canExist(o metav1.OwnerReference) bool {
	return len(validation.IsDNS1035Label(strings.ToLower(o.Kind))) == 0 && len(validation.IsDNS1123Subdomain(o.Name)) == 0
}

// maxRetries is how long after its time a CronJob's pod may still be made: by
// its Job's retries.
const maxRetries = 7 * 24 * time.Hour

// cronJobOf cuts the minute, since 1970, for which a CronJob makes a Job. It
// must be shortly before the pod was made, which a date (20251231) is not.
func cronJobOf(job string, made time.Time) (cron string, ok bool) {
	at := strings.LastIndexByte(job, '-')
	if at <= 0 {
		return "", false
	}
	minute, err := strconv.ParseInt(job[at+1:], 10, 64)
	if err != nil {
		return "", false
	}
	late := made.Sub(time.Unix(minute*60, 0))
	return job[:at], late > -time.Minute && late < maxRetries
}

// attributes of workloads that OpenTelemetry has a name for.
var attributes = map[string]string{
	"Deployment":  catalog.AttrDeployment,
	"ReplicaSet":  catalog.AttrReplicaSet,
	"StatefulSet": catalog.AttrStatefulSet,
	"DaemonSet":   catalog.AttrDaemonSet,
	"Job":         catalog.AttrJob,
	"CronJob":     catalog.AttrCronJob,
}
