// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
