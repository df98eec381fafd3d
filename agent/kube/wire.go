// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// Pod has the fields of a core/v1 Pod that are decoded. The rest, which can contain
// secrets (environment, arguments), is skipped. k8s.io/api has types for all
// fields, which add three megabytes to the program.
type Pod struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              PodSpec   `json:"spec"`
	Status            PodStatus `json:"status"`
}

// PodSpec is part of a Pod.
type PodSpec struct {
	Containers     []Container `json:"containers"`
	InitContainers []Container `json:"initContainers"`
}

// Container is part of a PodSpec.
type Container struct {
	Name      string `json:"name"`
	Resources struct {
		Requests map[string]resource.Quantity `json:"requests"`
	} `json:"resources"`
}

// PodStatus is part of a Pod.
type PodStatus struct {
	ContainerStatuses          []ContainerStatus `json:"containerStatuses"`
	InitContainerStatuses      []ContainerStatus `json:"initContainerStatuses"`
	EphemeralContainerStatuses []ContainerStatus `json:"ephemeralContainerStatuses"`
}

// ContainerStatus is part of a PodStatus.
type ContainerStatus struct {
	Name        string `json:"name"`
	ContainerID string `json:"containerID"`
}

// PodList is a list of pods.
type PodList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []Pod `json:"items"`
}

// DeepCopyObject implements runtime.Object. No code changes a decoded pod, so its
// parts can be shared.
func (p *Pod) DeepCopyObject() runtime.Object {
	q := *p
	return &q
}

// DeepCopyObject implements runtime.Object.
func (l *PodList) DeepCopyObject() runtime.Object {
	q := *l
	q.Items = slices.Clone(l.Items)
	return &q
}

var coreV1 = schema.GroupVersion{Version: "v1"}

// codecs returns a serializer for pods and for the other objects in a watch.
func codecs() runtime.NegotiatedSerializer {
	s := runtime.NewScheme()
	s.AddKnownTypes(coreV1, &Pod{}, &PodList{})
	metav1.AddToGroupVersion(s, coreV1)
	return serializer.NewCodecFactory(s).WithoutConversion()
}
