// SPDX-License-Identifier: Apache-2.0

// Package cmdline derives the display name of a process from its command line: node
// shop/server.js, nginx: worker process. Package identity reads the facts from
// /proc; this package reads nothing, and asks [Files] whether a script exists.
//
// It never returns an argument that may be a secret: names come from lists, from
// file names that exist, and from the executable.
package cmdline

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/printable"
)

// maxCommand is the maximum length of a name.
const maxCommand = 128

// Files reports whether the file that an argument names exists for the process.
type Files interface {
	// File reports whether a script exists, with one of the endings that its
	// interpreter adds.
	File(arg string, endings []string) bool
	// Module reports whether a Python module exists for the interpreter that was
	// called as arg0.
	Module(name, arg0 string) bool
	// Class reports whether a Java class exists on a class path.
	Class(name, classPath string) bool
	// Package reports whether a package of npm is installed where node finds it.
	Package(name string) bool
	// Home returns the package of npm that a script is in, with one of the endings that
	// its interpreter adds.
	Home(arg string, endings []string) Home
}

// A Namer derives the name of one process.
type Namer struct {
	Files Files
	Known string // the name that the process had before, "" for none
}

// Command returns the name of what a process runs: its executable and, for
// interpreters, the script, module or class, if that exists. Other arguments may be
// secrets: the strings in argv are never copied, and the result shares no memory with
// them.
func (n Namer) Command(executable string, argv []string) string {
	if len(argv) == 0 {
		return executable
	}
	if role := roleOf(executable, argv[0]); role != "" {
		return role
	}
	find, ok := interpreters[unversioned(executable)]
	if !ok {
		return executable
	}
	if !sameProgram(executable, argv[0]) {
		return n.titled(executable, argv[0])
	}
	program := called(executable, argv[0])
	target := find(argv[1:])
	if script := n.script(target, program, argv[0]); script != "" {
		return printable.Name(program+" "+script, maxCommand)
	}
	return program
}

// script returns the name of the script, module or class, "" if it does not exist.
func (n Namer) script(t target, program, arg0 string) string {
	if t.text == "" || len(t.text) > unix.PathMax || strings.Contains(t.text, "://") {
		return ""
	}
	if was, ok := strings.CutPrefix(n.Known, program+" "); ok && t.is(was) {
		return was // a removed release, or a daemon that changed its working directory
	}
	switch t.kind {
	case aModule:
		if isDotted(t.text, "") && (knownModules[t.text] || n.Files.Module(t.text, arg0)) {
			return "-m " + t.text
		}
	case aClass:
		if isDotted(t.text, "$") && n.Files.Class(t.text, t.classPath) {
			return strings.Clone(t.text)
		}
	case aFile:
		if !n.Files.File(t.text, t.endings) {
			return ""
		}
		if t.alone {
			return safe(path.Base(t.text))
		}
		return fileName(t.text)
	}
	return ""
}

// sameProgram reports whether argv is an argv, and not a title that the process
// wrote over it.
func sameProgram(executable, arg0 string) bool {
	base := strings.TrimPrefix(path.Base(arg0), "-") // a login shell
	return base != "" && runsAs(base) == runsAs(executable)
}

// runsAs returns the common name of a program that has several.
func runsAs(executable string) string {
	name := unversioned(executable)
	switch name {
	case "nodejs":
		return "node"
	case "dash", "bash", "busybox":
		return "sh"
	}
	return name
}

// called prefers the name that people typed (python3) to the name of the linked
// file (python3.11), if one extends the other.
func called(executable, arg0 string) string {
	if base := path.Base(arg0); strings.HasPrefix(executable, base) {
		return executable[:len(base)]
	}
	return executable
}

// fileName returns a script's name with the folder that distinguishes one main.py
// or index.js from another.
func fileName(arg string) string {
	arg = path.Clean(arg)
	if strings.HasPrefix(arg, "/dev/") || strings.HasPrefix(arg, "/proc/") {
		return "" // a descriptor
	}
	name := path.Base(arg)
	if name == "." || name == "/" || name == ".." {
		return ""
	}
	switch dir := path.Base(path.Dir(arg)); dir {
	case ".", "/", "..", "bin", "sbin", ".bin", "src":
		return safe(name)
	default:
		return safe(dir + "/" + name)
	}
}

// MaxName limits the length of the name of a script or an executable. The kernel's
// NAME_MAX is 255, but a longer token than this is not a chosen name.
const MaxName = 100

// safe returns s if it looks like the name of a file, otherwise "".
func safe(s string) string {
	if s == "" || len(s) > MaxName || strings.HasPrefix(s, "-") {
		return ""
	}
	for _, c := range s {
		if !isAlphanumeric(c) && !strings.ContainsRune("._-/@+$", c) && c < 0x80 {
			return ""
		}
	}
	return printable.Name(s, MaxName)
}

func isAlphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// isDotted reports whether s is the name of a module: http.server. others are
// further characters that are allowed, $ for classes.
func isDotted(s, others string) bool {
	if len(s) > MaxName {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || part[0] >= '0' && part[0] <= '9' {
			return false
		}
		for _, c := range part {
			if c != '_' && !isAlphanumeric(c) && !strings.ContainsRune(others, c) {
				return false
			}
		}
	}
	return true
}
