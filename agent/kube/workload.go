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

// templateHash is the label with the last part of the names of a Deployment's
// ReplicaSets.
const templateHash = "pod-template-hash"

// workloadOf returns the workload of a pod: the object that a person created, not
// the one that a controller derived from it. It uses names only and sends no
// request.
//
//	ReplicaSet shop-7d9c5b8f6d with pod-template-hash=7d9c5b8f6d → Deployment shop
//	Job report-29926260 → CronJob report
func workloadOf(m *metav1.ObjectMeta) (kind, name string) {
	owner := controllerOf(m)
	switch owner.Kind {
	case "":
		return "Pod", m.Name
	case "Node": // a static pod, which the kubelet shows to the API server
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

// canExist reports whether an object of that kind and name can exist. The creator
// of a pod writes owner references, and the API server only requires that both
// fields are not empty.
func canExist(o metav1.OwnerReference) bool {
	return len(validation.IsDNS1035Label(strings.ToLower(o.Kind))) == 0 && len(validation.IsDNS1123Subdomain(o.Name)) == 0
}

// maxRetries is the time after its schedule during which a CronJob's pod can still
// be created, by retries of its Job.
const maxRetries = 7 * 24 * time.Hour

// cronJobOf removes the schedule time, in minutes since 1970, from the name of a
// CronJob's Job. It must be shortly before the pod was created, which is not true
// of a date such as 20251231.
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

// attributes maps kinds of workloads to their OpenTelemetry attributes.
var attributes = map[string]string{
	"Deployment":  catalog.AttrDeployment,
	"ReplicaSet":  catalog.AttrReplicaSet,
	"StatefulSet": catalog.AttrStatefulSet,
	"DaemonSet":   catalog.AttrDaemonSet,
	"Job":         catalog.AttrJob,
	"CronJob":     catalog.AttrCronJob,
}
