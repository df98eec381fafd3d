// SPDX-License-Identifier: Apache-2.0

// Package kubenode is the test of the Helm chart and the agent on a real node:
// kubelet, API server, scheduler, controller manager, etcd, containerd and runc,
// in a network and a mount namespace of their own, in cgroups of their own.
// make e2e-kube runs it.
package kubenode
