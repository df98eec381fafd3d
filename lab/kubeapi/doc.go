// SPDX-License-Identifier: Apache-2.0

// Package kubeapi tests agent/kube, analyzers/publish/kube and the agent with a real
// API server, kube-apiserver and etcd on loopback, with the permissions of
// docs/kubernetes.md. There is no kubelet: the tests create the pods. Run it with
// make kube-check.
package kubeapi
