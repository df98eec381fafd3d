// SPDX-License-Identifier: Apache-2.0

// Package guest holds what the whole program must do on other kernels: the
// built command and a real redis in a guest that has nothing but cgroup v2.
// bpf/kernels boots the guests and runs this package's test binary in them.
//
// The tests own the machine: they write to sysctls and to the root cgroup.
// That is why they run nowhere else; on a host the binary says so and ends.
//
//	bpf/kernels/run.sh 6.12
package guest
