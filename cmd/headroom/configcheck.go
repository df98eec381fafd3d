// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/cmd/headroom/internal/otlpexport"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
)

func (a *app) config() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the agent's config file",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check FILE",
		Short: "Check whether the agent accepts a config file",
		Long: `Reads a config file as the agent does, and reports errors with their line.

Exit status: 0 when the config is valid, 2 when it is not.`,
		Example: `  headroom config check /etc/headroom.yml`,
		Args:    oneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "" {
				return errors.New("config check: the file name is empty; give one, as in headroom config check /etc/headroom/headroom.yml")
			}
			var r *rules.Rules
			err := untilInterrupted(0, func(context.Context) (err error) { // a disk may not answer
				r, err = rules.Read(args[0])
				return err
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s: windows of %v, every %v; %d mutes; %d thresholds; %d brokers; %s\n",
				args[0], r.Config.Window, r.Config.Every, len(r.Config.Mute), len(r.Config.Thresholds), len(r.Config.Brokers), otlpexport.Text(r.Config.OTLP))
			return err
		},
	})
	return cmd
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("config check: names one file, as in headroom config check /etc/headroom/headroom.yml; %d are given", len(args))
	}
	return nil
}
