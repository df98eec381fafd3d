// SPDX-License-Identifier: Apache-2.0

// Package kubeapi is the test of agent/kube, analyzers/publish/kube and the
// agent against a real API server, kube-apiserver and etcd on loopback, with
// the permissions of docs/kubernetes.md. There is no kubelet: pods are what the
// tests write. make kube-check runs it.
package kubeapi
