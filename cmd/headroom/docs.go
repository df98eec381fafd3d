// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/cmd/headroom/internal/docs"
)

// docs is hidden: it is for `make generate`.
func (a *app) docs() *cobra.Command {
	return &cobra.Command{
		Use:    "docs ROOT",
		Short:  "Write the files of the repository that come from the code",
		Hidden: true,
		Args:   oneArgument("the root of the repository"),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := docs.Files((&app{}).root())
			if err != nil {
				return err
			}
			for name, content := range files {
				if err := os.WriteFile(filepath.Join(args[0], name), content, 0o644); err != nil {
					return fmt.Errorf("writing documentation: %w", err)
				}
			}
			return nil
		},
	}
}
