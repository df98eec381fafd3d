// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/agent/sampler"
)

// cgroupOf returns the most specific cgroup path of a process: the path of the cpu
// controller, which has the limits, or a path below it that names a container or a
// service. begin is the root of headroom's own cgroup namespace, "" for the root of
// the hierarchy: the kernel reports paths relative to it (cgroup_namespaces(7)).
//
//	4:memory:/docker/8f6a…
//	1:cpu,cpuacct:/docker/8f6a…
//	0::/docker/8f6a…
func cgroupOf(file []byte, begin string) string {
	var cpu, unified string
	var others []string
	for line := range bytes.Lines(file) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		controllers, p, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		p = normalise(begin + "/" + strings.TrimSuffix(p, " (deleted)"))
		switch {
		case controllers == "":
			unified = p
		case slices.Contains(strings.Split(controllers, ","), "cpu"):
			cpu = p
		default:
			others = append(others, p)
		}
	}
	if cpu == "" {
		return orRoot(unified)
	}
	if unified != "" {
		others = append(others, unified)
	}
	return deepest(cpu, others)
}

// deepest prefers the path that names a container, then one that names a service,
// if it is at or below the cgroup with the limits.
func deepest(cpu string, others []string) string {
	best, rank := cpu, worth(cpu)
	for _, p := range others {
		if r := worth(p); r > rank && within(p, cpu) {
			best, rank = p, r
		}
	}
	return best
}

func worth(cgroup string) int {
	p := placeOf(cgroup, allTrusted)
	switch {
	case p.container != "":
		return 2
	case p.service != "":
		return 1
	}
	return 0
}

func within(inner, outer string) bool {
	return outer == "/" || inner == outer || strings.HasPrefix(inner, outer+"/")
}

func orRoot(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

// normalise makes a path absolute below the root of the hierarchy. In a cgroup
// namespace, the path of a process outside of it starts with .. (/../../pod…); if
// the parents of the namespace are not known, these elements are removed.
func normalise(p string) string {
	return escaped(path.Clean("/" + p))
}

// shallow truncates a path at sampler.CgroupDepth and at unix.PathMax: users can
// create cgroups of any depth.
func shallow(p string) string {
	depth := 0
	for i := range len(p) {
		if p[i] != '/' {
			continue
		}
		if depth++; depth > sampler.CgroupDepth || i > unix.PathMax {
			return p[:i]
		}
	}
	return p
}

// escaped replaces unprintable characters by their bytes in hexadecimal, as systemd
// does in unit names: the kernel accepts any name without a line feed, and two
// cgroups must not get the same name.
func escaped(p string) string {
	if printable.ASCII(p) {
		return p
	}
	var b strings.Builder
	for i, r := range p {
		_, size := utf8.DecodeRuneInString(p[i:])
		if r == utf8.RuneError && size == 1 || !printable.Rune(r) {
			for _, c := range []byte(p[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
