// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// laughs returns a small document that its aliases expand to an enormous one.
func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for n := range 12 {
		_, _ = fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", n+1, n+1, strings.Repeat(fmt.Sprintf("*a%d, ", n), 9), n)
	}
	return b.String() + "mute: *a12\nthresholds: *a12\n"
}

// TestRefused checks that a config that cannot work is refused when it is read, with
// the reason.
func TestRefused(t *testing.T) {
	const otlp = "otlp:\n  endpoint: http://c:4318\n"
	for text, want := range map[string]string{
		"window: 0s\n": "shorter than every", "window: -30s\n": "shorter than every", "every: 1ns\n": "too often", "window: 2540400h\n": "longer than", "every: 2540400h\n": "shorter than every",
		"window: 10000000h\n": "is no duration", "memory: .inf\n": "is no size", "memory: Inf\n": "is no size", "memory: InfMiB\n": "is no size", "memory: -1GiB\n": "is no size", "memory: 1e300GiB\n": "is no size",
		"mute: [{service: '*'}]\n": "wildcards are not supported", "mute: [{service: 'api-?'}]\n": "wildcards", "mute: [{service: ' api'}]\n": "begins or ends with a space",
		"mute: [{service: \"a\\nb\"}]\n":                          "control character",
		"thresholds: [{id: a, service: 'a*', set: {x: 1}}]\n":     "wildcards",
		"mute:\n  - id: a\n    service:\n":                        "line 3: service is empty",
		"mute:\n  - id: ''\n    service: b\n":                     "line 2: id is empty",
		"thresholds:\n  - id: a\n    service: ' '\n    set: {}\n": "line 3: service is empty",
		otlp + "  headers: {a: \"b\\nc: d\"}\n":                   "the value of a has a line feed",
		otlp + "  headers: {a: \"b\\r\"}\n":                       "the value of a has a line feed",
		otlp + "  headers: {\"a\\n\": b}\n":                       "is not a valid name",
		otlp + "  headers: {a b: c}\n":                            "is not a valid name",
		otlp + "  headers: {a:  }\n":                              "a is empty",
		otlp + "  headers: {a: x, A: y}\n":                        "is given twice",
		otlp + "  interval: 2540400h\n":                           "longer than",
		"otlp: {endpoint: 'http://c:99999'}\n":                    "a port that cannot be",
		"otlp: {endpoint: 'http://*:4318'}\n":                     "a host or a port that cannot be",
		"otlp: {endpoint: 'http://:4318'}\n":                      "no URL",
		"storage: {path: \"/a\\nb\"}\n":                           "control character",
		laughs():                                                  "unknown key",
		strings.Repeat("[", 100_000):                              "depth",
		"window: 30s\n...\nevery: 10s\n":                          "second one",
		"\x00":                                                    "control characters",
	} {
		began := time.Now()
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q in it", text, err, want)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%.80q took %v", text, took)
		}
	}
}

// TestReadRefuses checks that Read reads the whole file, and refuses files without an
// end.
func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := unix.Mkfifo(in("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"large": strings.Repeat("#\n", maxFile), "end": strings.Repeat("# rules\n", maxFile/9) + "windw: 30s\n"} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{in("fifo"): "not a regular file", dir: "is a directory", "/dev/zero": "not a regular file", in("large"): "larger than 1024 KiB", in("end"): `unknown key "windw"`, in("none"): "no such file"} {
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", path, err, want)
		}
	}
}
