// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/cmd/headroom/internal/scope"
)

// scopeFlags adds the flags that narrow a diagnosis.
func scopeFlags(t *scope.Target, cmd *cobra.Command) {
	cmd.Flags().Var((*pidValue)(&t.PID), "pid", "only this process")
	cmd.Flags().StringVar(&t.Command, "command", "", "only processes whose command or executable contains this")
	cmd.Flags().StringVar(&t.Container, "container", "", "only this container: the beginning of its id, or its name")
	cmd.Flags().StringVar(&t.Pod, "pod", "", "only this pod: its name or uid")
}

// A pidValue is a flag that names a process. It rejects 0, which would be the whole
// host: a script with an empty variable does not ask for that.
type pidValue int

// Set implements pflag.Value.
func (p *pidValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return errors.New("a pid must be a positive number, for example --pid 4242")
	}
	*p = pidValue(n)
	return nil
}

// String implements pflag.Value: no pid has no text.
func (p *pidValue) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.Itoa(int(*p))
}

// Type implements pflag.Value.
func (p *pidValue) Type() string { return "int" }
