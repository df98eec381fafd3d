// SPDX-License-Identifier: Apache-2.0

package cmdline

import "strings"

// A target is the argument that names what an interpreter runs, as it was typed.
// The zero target is none: a program text, standard input, or arguments that are
// not understood.
type target struct {
	kind      targetKind
	text      string
	endings   []string // endings that the interpreter adds to find the file
	classPath string
	alone     bool // the file's name is clear without its folder
}

type targetKind int

const (
	aFile targetKind = iota
	aModule
	aClass
)

// is reports whether an existing name is the name of this target.
func (t target) is(name string) bool {
	if t.kind == aModule {
		module, ok := strings.CutPrefix(name, "-m ")
		return ok && module == t.text
	}
	before, ok := strings.CutSuffix(t.text, name)
	return ok && name != "" && (before == "" || before[len(before)-1] == '/')
}

// A grammar describes an interpreter's own flags. A flag that is not listed ends
// the search: the next argument may be its value.
type grammar struct {
	verbs   wordSet // words before the script
	plain   wordSet // flags without a value
	taking  wordSet // flags whose value is the next argument
	text    wordSet // flags and words that no script follows: program texts, names of tasks
	single  string  // letters that can be joined and have no value
	valued  string  // letters whose value is the rest of the argument, or the next one
	joined  string  // letters whose value, if they have one, is the rest of the argument
	program string  // letters that a program text follows
	named   byte    // the letter whose value is the script, 0 for none
	module  byte    // the letter whose value is a module
	next    string  // letters whose value is the next argument, at any position among joined letters
	plus    bool    // flags can also start with +
	endings []string
}

type wordSet map[string]bool

func words(s string) wordSet {
	all := make(wordSet)
	for _, w := range strings.Fields(s) {
		all[w] = true
	}
	return all
}

// find parses arguments up to the script.
func (g *grammar) find(args []string) target {
	verbs := g.verbs
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		var skip int
		var t target
		switch {
		case a == "" || a == "-" || a == "--" || g.text[a]:
			return target{}
		case !strings.HasPrefix(a, "-") && !(g.plus && strings.HasPrefix(a, "+")):
			if verbs[a] {
				verbs = nil
				continue
			}
			return target{text: a, endings: g.endings}
		case g.plain[a]:
			continue
		case g.taking[a]:
			skip = 1
		case strings.HasPrefix(a, "--"):
			if name, _, has := strings.Cut(a, "="); !has && !strings.HasPrefix(a, "--no-") || g.text[name] {
				return target{}
			}
		default:
			if skip, t = g.letters(a[1:], args); skip < 0 {
				return t
			}
		}
		if skip > len(args) {
			return target{}
		}
		args = args[skip:]
	}
	return target{}
}

// end is returned by letters to end the search.
const end = -1

// letters parses joined letters: -um, -Wignore, -euo pipefail. It returns how many
// of the next arguments are values.
func (g *grammar) letters(a string, args []string) (skip int, t target) {
	for i := range len(a) {
		c := string(a[i])
		value := a[i+1:]
		switch {
		case strings.Contains(g.program, c):
			return end, target{}
		case a[i] == g.named || a[i] == g.module:
			if value == "" && len(args) > 0 {
				value = args[0]
			}
			if a[i] == g.module {
				return end, target{kind: aModule, text: value}
			}
			return end, target{text: value}
		case strings.Contains(g.next, c):
			skip++
		case strings.Contains(g.single, c):
		case strings.Contains(g.joined, c):
			return skip, target{}
		case strings.Contains(g.valued, c):
			if value == "" {
				skip++
			}
			return skip, target{}
		default:
			return end, target{}
		}
	}
	return skip, target{}
}
