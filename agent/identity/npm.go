// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"encoding/json"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/cmdline"
)

const (
	// maxFolders is the maximum number of folders above a script that are searched for a
	// package.json.
	maxFolders = 16
	// modules is the folder of a package's dependencies.
	modules = "/node_modules/"
)

// home returns the package that a script is in: that of the closest package.json with a
// name, as node finds it, for the file that links lead to. A script of a dependency is in
// the package that depends on it: two servers that start the same framework have
// different names.
func (s sight) home(arg string, endings []string) cmdline.Home {
	file, ok := s.resolve(arg, endings)
	if !ok {
		return cmdline.Home{}
	}
	app, _, installed := strings.Cut(file, modules)
	dir := path.Dir(file)
	if installed {
		dir = app
	}
	for range maxFolders {
		if dir == "" || dir == "/" {
			break
		}
		if name := s.packageName(dir); name != "" {
			return cmdline.Home{Package: name, Path: strings.TrimPrefix(file, dir+"/"), Installed: installed}
		}
		dir = path.Dir(dir)
	}
	return cmdline.Home{}
}

// resolve returns the path of a script without links, as the process sees it. The result
// is the path of a file that exists.
func (s sight) resolve(arg string, endings []string) (string, bool) {
	if len(endings) == 0 {
		endings = []string{""}
	}
	for _, ending := range endings {
		fd, ok := s.open(unix.O_PATH, arg, ending)
		if !ok {
			continue
		}
		var st unix.Stat_t
		isFile := unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
		file, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		_ = unix.Close(fd) //nolint:errcheck // opened with O_PATH
		if !isFile {
			continue
		}
		if root, bad := os.Readlink(s.source.path(s.pid, "root")); bad == nil && root != "/" {
			file = strings.TrimPrefix(file, root) // chroot
		}
		return file, err == nil && strings.HasPrefix(file, "/")
	}
	return "", false
}

// packageName returns the name in the package.json of a folder, "" if there is none. It
// reads no other field.
//
//	{"name": "shop", "version": "1.0.0"}
func (s sight) packageName(dir string) string {
	f, ok := s.regular(dir, "/package.json")
	if !ok {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	name := nameIn(io.LimitReader(f, maxRead))
	if !cmdline.IsPackage(name) {
		return ""
	}
	return name
}

// nameIn returns the field name of a JSON object, "" if it has none, or if what precedes
// it is not JSON.
func nameIn(r io.Reader) string {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return ""
		}
		if key == "name" {
			var name string
			if d.Decode(&name) != nil {
				return ""
			}
			return name
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return ""
		}
	}
	return ""
}
