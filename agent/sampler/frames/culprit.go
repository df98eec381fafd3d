// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/bpf/tick"
)

// A function is one of the program: its name, "" for none, and its file and line.
type function struct {
	name, file string
	line       int // of the definition, 0 if not known
}

// A culprit is the innermost function of the program in a stack, what it uses of a library
// or of the runtime, and the function that called it.
type culprit struct {
	function
	uses   string
	caller function
}

func (c culprit) attrs() map[string]string {
	attrs := map[string]string{catalog.AttrCodeFile: c.file}
	set := func(key, value string) {
		if value != "" && value != "0" {
			attrs[key] = value
		}
	}
	set(catalog.AttrFunction, c.name)
	set(catalog.AttrLine, strconv.Itoa(c.line))
	set(catalog.AttrUses, c.uses)
	set(catalog.AttrCaller, c.caller.name)
	set(catalog.AttrCallerFile, c.caller.file)
	set(catalog.AttrCallerLine, strconv.Itoa(c.caller.line))
	return attrs
}

// culprit returns the culprit of a stack; known is false if it has no function of the
// program.
func (r *reader) culprit(p *process, s *tick.Stack) (c culprit, known bool) {
	if !s.Known {
		return c, false
	}
	for i, f := range s.Functions {
		file, own := ownFile(f)
		if !own {
			continue
		}
		here := function{name: label(f.Name), file: file, line: r.line(p, f, file)}
		if !known {
			c, known = culprit{function: here}, true
			if i > 0 {
				c.uses = uses(s.Functions[i-1])
			}
			continue
		}
		if here != c.function {
			c.caller = here
			break
		}
	}
	return c, known
}

// modules is the folder of a package's dependencies.
const modules = "/node_modules/"

// ownFile returns the path of a function's file, if the program's own code is in it.
func ownFile(f tick.Function) (string, bool) {
	path := scriptPath(f.File)
	_, library := pythonLibrary(path)
	return path, path != "" && !strings.Contains(path, modules) && !library
}

// scriptPath returns the path of a script, "" if it is in no file.
//
//	/app/server.js
//	file:///app/server.mjs
//	node:internal/crypto/pbkdf2
func scriptPath(script string) string {
	if strings.HasPrefix(script, "file://") {
		u, err := url.Parse(script)
		if err != nil {
			return ""
		}
		script = u.Path
	}
	if !strings.HasPrefix(script, "/") || label(script) == "" {
		return ""
	}
	return script
}

// uses describes a function of a library or of the runtime.
func uses(f tick.Function) string {
	name := label(f.Name)
	if name == "" {
		return ""
	}
	path := scriptPath(f.File)
	if _, after, ok := cutLast(path, modules); ok {
		return name + " of " + packageOf(after)
	}
	if module, ok := pythonLibrary(path); ok {
		return name + " of " + module
	}
	return name
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// packageOf returns the package of a path below node_modules: @scope/name/lib/x.js.
func packageOf(path string) string {
	first, rest, _ := strings.Cut(path, "/")
	if strings.HasPrefix(first, "@") {
		second, _, _ := strings.Cut(rest, "/")
		return first + "/" + second
	}
	return first
}

// label returns a name that can be printed; "" for any other.
func label(name string) string {
	for _, r := range name {
		if !unicode.IsGraphic(r) || r == '`' || r == unicode.ReplacementChar {
			return ""
		}
	}
	return strings.TrimSpace(name)
}
