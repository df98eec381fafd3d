// SPDX-License-Identifier: Apache-2.0

// Package npm installs the npm packages of the lab outside the repository.
package npm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Install installs the packages of package-lock.json in a folder into a folder of the
// user's cache, unless they are installed there, and returns its node_modules.
func Install(from, cache string, flags ...string) (string, error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(caches, cache)
	lock, err := os.ReadFile(filepath.Join(from, "package-lock.json"))
	if err != nil {
		return "", err
	}
	modules, done := filepath.Join(dir, "node_modules"), filepath.Join(dir, "installed-lock.json")
	if have, err := os.ReadFile(done); err == nil && bytes.Equal(have, lock) {
		return modules, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("npm", append([]string{"ci", "--no-audit", "--no-fund"}, flags...)...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v in %s: %w\n%s", cmd, dir, err, output)
	}
	return modules, os.WriteFile(done, lock, 0o644)
}
