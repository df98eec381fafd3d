// SPDX-License-Identifier: Apache-2.0

package observe

// A Host is what is known about the machine as a whole.
type Host struct {
	Name   string  `json:"name"`
	Kernel string  `json:"kernel"`
	CPUs   int     `json:"cpus"`
	Memory float64 `json:"memory"` // bytes
}
