// SPDX-License-Identifier: Apache-2.0

// Command generate writes the output of package dashboards to its folder. Run it
// there.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/headroom-project/headroom/dashboards"
)

func main() {
	if err := write(".."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := dashboards.Files()
	if err != nil {
		return err
	}
	for name, b := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
