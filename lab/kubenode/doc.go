// SPDX-License-Identifier: Apache-2.0

// Package kubenode tests the Helm chart and the agent on a real node: kubelet, API
// server, scheduler, controller manager, etcd, containerd and runc, in separate
// network and mount namespaces and cgroups. Run it with make e2e-kube.
package kubenode
