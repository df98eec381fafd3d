// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// Storage is where the agent keeps what it remembers, and how much that may be.
type Storage struct {
	// Path is a directory of its own; "" takes systemd's $STATE_DIRECTORY, and
	// without that the memory alone.
	Path string
	// History bounds the trends in memory, in bytes.
	History int64
}

// storage is Storage as people write it.
type storage struct {
	Path    string `yaml:"path"`
	History size   `yaml:"history"`
}

const (
	// defaultHistory is for a full node: see docs/history.md.
	defaultHistory = 4 << 20
	// minHistory is a few dozen series; maxHistory still fits a file of the store,
	// which is a third larger.
	minHistory, maxHistory = 256 << 10, 6 << 20
)

// take checks what was written.
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
