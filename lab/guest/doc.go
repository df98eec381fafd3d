// SPDX-License-Identifier: Apache-2.0

// Package guest tests the whole program on other kernels: the built command and a
// real redis in a guest that has only cgroup v2. bpf/kernels boots the guests and
// runs this package's test binary in them.
//
// The tests need a machine of their own, because they write to sysctls and to the
// root cgroup. Outside a guest the test binary exits with a message.
//
//	bpf/kernels/run.sh 6.12
package guest
