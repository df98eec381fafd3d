// SPDX-License-Identifier: Apache-2.0

// Package cgroups makes the cgroups in which tests and loads run programs. It wraps
// the two interfaces of github.com/containerd/cgroups, for cgroup v1 and v2, so that
// callers work on v1, hybrid and v2 hosts.
package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// A Controller is the name of a v1 hierarchy, and of a controller of v2.
type Controller = cgroup1.Name

// The controllers that this repository uses. Unified is the v2 hierarchy: on a
// hybrid host it has no controllers, but it has pressure and cgroup.freeze.
const (
	CPU     Controller = cgroup1.Cpu
	CPUAcct Controller = cgroup1.Cpuacct
	Memory  Controller = cgroup1.Memory
	BlockIO Controller = cgroup1.Blkio
	Unified Controller = "unified"
)

// mount is where all distributions mount cgroups.
const mount = "/sys/fs/cgroup"

// patience is the timeout of Kill and Delete: the kernel takes a moment to remove
// the last process of a cgroup, longer on a busy host.
const patience = 10 * time.Second

// A Group is a cgroup at the same path in several hierarchies.
type Group struct {
	// Path is relative to the root of each hierarchy, and starts with a slash.
	Path string

	dirs []string         // one for each hierarchy
	v1   cgroup1.Cgroup   // nil if no hierarchy of v1 is used
	v2   *cgroup2.Manager // nil if the hierarchy of v2 is not used
}

// V2 reports whether this host has only cgroup v2.
func V2() bool { return cgroups.Mode() == cgroups.Unified }

// Root returns the top directory of a controller's hierarchy.
func Root(c Controller) string {
	if V2() {
		return mount
	}
	return filepath.Join(mount, string(c))
}

// Has reports whether this host has a controller.
func Has(c Controller) bool {
	if c == Unified {
		return V2() || cgroups.Mode() == cgroups.Hybrid
	}
	if !V2() {
		_, err := os.Stat(Root(c))
		return err == nil
	}
	text, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(text)), v2Names[c])
}

// v2Names maps controllers of v1 to their names in v2.
var v2Names = map[Controller]string{CPU: "cpu", Memory: "memory", BlockIO: "io"}

// CPULimit limits a cgroup to a number of cores, with the default period of the
// kernel and of the kubelet.
func CPULimit(cores float64) *specs.LinuxResources {
	period := uint64(100_000) // µs
	quota := int64(cores * float64(period))
	return &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}}
}

// MemoryLimit limits a cgroup to a number of bytes.
func MemoryLimit(bytes int64) *specs.LinuxResources {
	return &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bytes}}
}

// New makes the cgroup at a path below the root, with its missing parents, in the
// hierarchies of the controllers, and sets its limits, which may be nil. Without
// controllers, New uses all controllers of this host. It uses an existing cgroup as
// it is, and ignores Unified on a host that has only v1.
func New(path string, limits *specs.LinuxResources, controllers ...Controller) (*Group, error) {
	g := &Group{Path: filepath.Join("/", path)}
	if limits == nil {
		limits = &specs.LinuxResources{}
	}
	err := g.makeV1(limits, controllers)
	if err == nil && Has(Unified) && (V2() || len(controllers) == 0 || slices.Contains(controllers, Unified)) {
		err = g.makeV2(limits, controllers)
	}
	if err == nil && len(g.dirs) == 0 {
		err = errors.New("this host has none of these hierarchies")
	}
	if err != nil {
		g.prune()
		return nil, fmt.Errorf("making the cgroup %s with controllers %v (needs root): %w", g.Path, controllers, err)
	}
	return g, nil
}

func (g *Group) makeV1(limits *specs.LinuxResources, controllers []Controller) error {
	if V2() {
		return nil
	}
	all, err := cgroup1.Default()
	if err != nil {
		return err
	}
	used := slices.DeleteFunc(slices.Clone(all), func(s cgroup1.Subsystem) bool {
		return len(controllers) > 0 && !slices.Contains(controllers, s.Name())
	})
	for _, c := range controllers {
		if c != Unified && !slices.ContainsFunc(used, func(s cgroup1.Subsystem) bool { return s.Name() == c }) {
			return fmt.Errorf("no hierarchy %s", Root(c))
		}
	}
	if len(used) == 0 {
		return nil
	}
	for _, s := range used {
		g.dirs = append(g.dirs, filepath.Join(Root(s.Name()), g.Path))
	}
	g.v1, err = cgroup1.New(cgroup1.StaticPath(g.Path), limits,
		cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) { return used, nil }))
	return err
}

// makeV2 enables the controllers in all parent cgroups.
func (g *Group) makeV2(limits *specs.LinuxResources, controllers []Controller) error {
	root := Root(Unified)
	g.dirs = append(g.dirs, filepath.Join(root, g.Path))
	var err error
	if g.v2, err = cgroup2.NewManager(root, g.Path, &cgroup2.Resources{}); err != nil || !V2() {
		return err
	}
	enabled, err := g.v2.RootControllers()
	if err != nil {
		return err
	}
	if len(controllers) > 0 {
		enabled = nil
		for _, c := range controllers {
			if name := v2Names[c]; name != "" {
				enabled = append(enabled, name)
			}
		}
	}
	if err := g.v2.ToggleControllers(enabled, cgroup2.Enable); err != nil {
		return err
	}
	return g.v2.Update(cgroup2.ToResources(limits))
}

// Dir returns the cgroup's directory in the hierarchy of a controller.
func (g *Group) Dir(c Controller) string { return filepath.Join(Root(c), g.Path) }

// Update sets limits, and does not change limits that are absent.
func (g *Group) Update(limits *specs.LinuxResources) error {
	var err error
	if g.v1 != nil {
		err = g.v1.Update(limits)
	}
	if V2() {
		err = g.v2.Update(cgroup2.ToResources(limits))
	}
	return err
}
