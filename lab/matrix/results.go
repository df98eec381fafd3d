// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs"
)

// results are the latest results of all cells, by mode and name.
type results struct {
	Machine string `json:"machine"` // of the latest run
	Kernel  string `json:"kernel"`
	Version string `json:"version"` // of headroom
	Cells   []cell `json:"cells"`

	path string
}

func resultsPath(root string) string { return filepath.Join(root, "lab/matrix/results.json") }

// load reads the saved results. If there is no file, it returns empty results.
func load(root string) (*results, error) {
	r := &results{path: resultsPath(root)}
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.path, err)
	}
	return r, nil
}

// add replaces the result of a cell and saves all results.
func (r *results) add(c cell) error {
	r.Cells = slices.DeleteFunc(r.Cells, func(old cell) bool { return old.Name == c.Name })
	r.Cells = append(r.Cells, c)
	slices.SortFunc(r.Cells, func(a, b cell) int { return strings.Compare(a.Name, b.Name) })
	r.Machine, r.Kernel = machine(), kernel()
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(r.path, append(text, '\n'), 0o644)
}

func (r *results) cell(name string) (cell, bool) {
	i := slices.IndexFunc(r.Cells, func(c cell) bool { return c.Name == name })
	if i < 0 {
		return cell{}, false
	}
	return r.Cells[i], true
}

// machine returns a description of the CPUs and the memory of this host.
func machine() string {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return "unknown"
	}
	model := "unknown CPU"
	if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 {
		model = cpus[0].ModelName
	}
	text := fmt.Sprintf("%d CPUs (%s)", cores(), model)
	if m, err := fs.Meminfo(); err == nil && m.MemTotalBytes != nil {
		text += fmt.Sprintf(", %d GiB", *m.MemTotalBytes>>30)
	}
	return text
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// versionOf returns the version that a build of headroom prints.
func versionOf(headroom string) string {
	out, err := exec.Command(headroom, "version").Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}
