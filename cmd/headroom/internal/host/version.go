// SPDX-License-Identifier: Apache-2.0

package host

import "runtime/debug"

// version is set by the linker:
//
//	-X github.com/headroom-project/headroom/cmd/headroom/internal/host.version=1.2.3
var version string

// Version returns the version that is written to reports and recordings.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

// Commit returns the revision that this binary was built from.
func Commit() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return "unknown"
	}
	revision, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return revision + dirty
}
