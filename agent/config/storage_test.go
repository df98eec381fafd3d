// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

func TestStorage(t *testing.T) {
	for text, want := range map[string]Storage{
		"every: 10s\n":                              {History: 4 << 20},
		"storage: {}\n":                             {History: 4 << 20},
		"storage: {path: /var/lib/headroom}\n":      {Path: "/var/lib/headroom", History: 4 << 20},
		"storage: {path: /a, history: 512KiB}\n":    {Path: "/a", History: 512 << 10},
		"storage:\n  path: /a b\n  history: 6MiB\n": {Path: "/a b", History: 6 << 20},
	} {
		if c, err := Parse([]byte(text)); err != nil || c.Storage != want {
			t.Errorf("%q is %+v, %v, want %+v", text, c.Storage, err, want)
		}
	}
	for text, why := range map[string]string{
		"storage: {path: state}\n":                 "does not begin with /",
		"storage: {history: 1GiB}\n":               "256 KiB to 6 MiB",
		"storage: {history: 1}\n":                  "256 KiB to 6 MiB",
		"storage:\n  pth: /a\n":                    `line 2: unknown key "pth"`,
		"storage:\n  history: much\n":              `line 2: "much" is no size`,
		"storage: /var/lib/headroom\n":             "line 1",
		"storage: {path: /a}\nstorage: {path: /b}": "already",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q is %v, want an error that says %q", text, err, why)
		}
	}
}
