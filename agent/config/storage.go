// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// Storage sets the directory of the agent's saved state, and its size.
type Storage struct {
	// Path is a directory for the agent only; "" uses systemd's $STATE_DIRECTORY, and
	// without that state is kept in memory only.
	Path string
	// History is the memory limit of the trends, in bytes.
	History int64
}

// storage is the form of Storage in YAML.
type storage struct {
	Path    string `yaml:"path"`
	History size   `yaml:"history"`
}

const (
	// defaultHistory is for a full node: see docs/history.md.
	defaultHistory = 4 << 20
	// minHistory is a few dozen series; maxHistory still fits into a file of the
	// store, which is a third larger.
	minHistory, maxHistory = 256 << 10, 6 << 20
)

// take converts and checks the values.
func (s storage) take() (Storage, error) {
	if s.Path != "" && !filepath.IsAbs(s.Path) {
		return Storage{}, fmt.Errorf("storage: path %q does not begin with /: where the agent is started from is not known", s.Path)
	}
	if strings.ContainsFunc(s.Path, unicode.IsControl) {
		return Storage{}, fmt.Errorf("storage: path %q has a control character: a directory is expected, such as /var/lib/headroom", s.Path)
	}
	if s.History < minHistory || s.History > maxHistory {
		return Storage{}, fmt.Errorf("storage: history is %d bytes: take %d KiB to %d MiB", s.History, minHistory>>10, maxHistory>>20)
	}
	return Storage{Path: s.Path, History: int64(s.History)}, nil
}
