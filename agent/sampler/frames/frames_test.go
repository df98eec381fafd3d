// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// TestCulprit checks which function of a stack is named, without reading its line.
func TestCulprit(t *testing.T) {
	script := func(name, file string) tick.Function { return tick.Function{Name: name, File: file, Script: true} }
	for _, tt := range []struct {
		name string
		tick.Stack
		want culprit
		none bool
	}{
		{name: "unreadable", Stack: tick.Stack{Functions: []tick.Function{script("a", "/app/a.js")}}, none: true},
		{name: "no function of the program", Stack: tick.Stack{Known: true, Functions: []tick.Function{script("emit", "node:events"), script("x", "")}}, none: true},
		{
			name: "runtime and caller",
			Stack: tick.Stack{Known: true, Functions: []tick.Function{
				{Name: "set"}, script("pbkdf2Sync", "node:internal/crypto/pbkdf2"), script("hash", "/app/auth.js"), script("hash", "/app/auth.js"),
				script("emit", "node:events"), script("login", "/app/app.js"),
			}},
			want: culprit{function: function{name: "hash", file: "/app/auth.js"}, uses: "pbkdf2Sync", caller: function{name: "login", file: "/app/app.js"}},
		},
		{
			name: "library",
			Stack: tick.Stack{Known: true, Functions: []tick.Function{
				script("spin", "/app/node_modules/@x/slow/node_modules/@y/lib/i.js"), script("a", "file:///app/a%20b.mjs"),
			}},
			want: culprit{function: function{name: "a", file: "/app/a b.mjs"}, uses: "spin of @y/lib"},
		},
		{
			name: "CPython",
			Stack: tick.Stack{Known: true, Functions: []tick.Function{
				{Name: "JSONDecoder.decode", File: "/usr/lib/python3.12/json/decoder.py", Line: 333, Script: true},
				{Name: "loads", File: "/usr/lib/python3.12/json/__init__.py", Line: 299, Script: true},
				{Name: "Cart.load", File: "/app/cart.py", Line: 7, Script: true},
				{Name: "handle", File: "/app/.venv/lib/python3.12/site-packages/aiohttp/web.py", Line: 9, Script: true},
				{Name: "<module>", File: "<frozen runpy>", Line: 1, Script: true},
				{Name: "main", File: "/app/main.py", Line: 3, Script: true},
			}},
			want: culprit{function: function{name: "Cart.load", file: "/app/cart.py", line: 7}, uses: "loads of json", caller: function{name: "main", file: "/app/main.py", line: 3}},
		},
		{
			name:  "name that cannot be printed",
			Stack: tick.Stack{Known: true, Functions: []tick.Function{script("a\x1b[31m", "/app/a.js"), script("b", "/app/\n.js")}},
			want:  culprit{function: function{file: "/app/a.js"}},
		},
	} {
		got, known := (&reader{}).culprit(&process{}, &tt.Stack)
		if known == tt.none || got != tt.want {
			t.Errorf("%s: culprit = %+v, %v; want %+v", tt.name, got, known, tt.want)
		}
	}
}

// TestShare checks what a stack at a hit of the clock counts for.
func TestShare(t *testing.T) {
	const hit = 1.0 / tick.StackHz
	for _, tt := range []struct {
		tick.Stack
		want share
	}{
		{tick.Stack{Kind: tick.StackOnCPU}, share{long: hit}},
		{tick.Stack{Kind: tick.StackOnCPU, StandsFor: 4}, share{long: hit, busy: 4 * hit}},
		{tick.Stack{Kind: tick.StackOnCPU, Collector: tick.CollectorRests}, share{long: hit}},
		{tick.Stack{Kind: tick.StackOnCPU, Collector: tick.CollectorRuns}, share{long: hit, collected: hit}},
		{tick.Stack{Kind: tick.StackBusy, StandsFor: 4, Collector: tick.CollectorRuns}, share{busy: 4 * hit}},
	} {
		if got := sampled(&tt.Stack); got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.Stack, got, tt.want)
		}
	}
}

// TestForgottenFunctions checks that a function without samples leaves its place to others,
// and that one with samples keeps it.
func TestForgottenFunctions(t *testing.T) {
	r := &reader{host: &sampler.Host{Index: observe.NewIndex(observe.DefaultLimit)}, round: 1}
	th := &thread{id: r.host.Index.ID(observe.Entity{Kind: observe.Loop, ID: "1:1/1"}), codes: make(map[culprit]*code)}
	at := func(line int) culprit { return culprit{function: function{file: "/app/a.js", line: line}} }
	for line := range maxCodes {
		r.count(th, at(line), true, share{busy: 1})
	}
	r.round += keepFor
	r.count(th, at(0), true, share{busy: 1})
	r.count(th, at(maxCodes), true, share{busy: 1})
	if th.codes[at(maxCodes)] != nil {
		t.Errorf("a function has the place of one that had a sample %d readings ago", keepFor)
	}
	r.round++
	r.count(th, at(maxCodes), true, share{busy: 1})
	if th.codes[at(maxCodes)] == nil || th.codes[at(0)] == nil || len(th.codes) != 2 || r.codes != 2 || len(r.ended) != maxCodes-1 {
		t.Errorf("%d functions, %d in all, %d ended; want the recent one and the new one", len(th.codes), r.codes, len(r.ended))
	}
	if th.all.busy != maxCodes+3 {
		t.Errorf("samples of %v s, want %d s: those without a place count too", th.all.busy, maxCodes+3)
	}
}

// TestLine checks that a line is only given for a function that is where V8 says.
func TestLine(t *testing.T) {
	const text = "\xef\xbb\xbf// 🙂 é\nfunction hash(a) {\n}\nconst f = async q => 1\n"
	at := func(before string) uint32 {
		plain := strings.TrimPrefix(text, "\xef\xbb\xbf")
		return uint32(len([]rune(plain[:strings.Index(plain, before)]))) + 1 // one rune takes two units
	}
	for _, tt := range []struct {
		tick.Function
		want int
	}{
		{tick.Function{Name: "hash", Start: at("(a)")}, 2},
		{tick.Function{Name: "other", Start: at("(a)")}, 0},
		{tick.Function{Name: "hash", Start: at("hash") + 10}, 0},
		{tick.Function{Name: "f", Start: at("q =>")}, 4},
		{tick.Function{Start: at("q =>")}, 4},
		{tick.Function{Name: "hash", Start: 1000}, 0},
	} {
		if got := lineOf([]byte(text), tt.Function); got != tt.want {
			t.Errorf("line of %+v = %d, want %d", tt.Function, got, tt.want)
		}
	}
}

// TestChangedSource checks that a file that is newer than the process is not read.
func TestChangedSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.js")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := readSource(path, 0); text != nil {
		t.Errorf("a file that changed after the start was read: %q", text)
	}
	if text := readSource(path, 100*365*24*time.Hour); string(text) != "x" {
		t.Errorf("a file = %q, want x", text)
	}
	if text := readSource("/dev/zero", 100*365*24*time.Hour); text != nil {
		t.Errorf("a device was read")
	}
}
