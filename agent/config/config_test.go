// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"
)

const good = `
window: 60s
every: 15s
memory: 96MiB
mute:
  - id: host-saturated
    reason: a batch host
thresholds:
  - id: event-loop-blocked
    service: api
    set: {warn-lag: 100ms}
`

func TestParse(t *testing.T) {
	c, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if c.Window != time.Minute || c.Every != 15*time.Second || c.Memory != 96<<20 {
		t.Errorf("config = %+v", c)
	}
	if len(c.Mute) != 1 || c.Mute[0].ID != "host-saturated" || c.Mute[0].Line != 6 {
		t.Errorf("mute = %+v, want host-saturated on line 6", c.Mute)
	}
	if len(c.Thresholds) != 1 || c.Thresholds[0].Set["warn-lag"] != "100ms" || c.Thresholds[0].Line != 9 {
		t.Errorf("thresholds = %+v, want warn-lag on line 9", c.Thresholds)
	}
}

func TestEmptyIsDefault(t *testing.T) {
	c, err := Parse(nil)
	if d := Default(); err != nil || c.Window != d.Window || c.Every != d.Every || c.Memory != d.Memory {
		t.Errorf("empty = %+v, %v, want %+v", c, err, d)
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"window: 30s\nwindw: 10s\n":         `line 2: unknown key "windw"`,
		"mute:\n  - id: a\n    servce: b\n": `line 3: unknown key "servce"`,
		"window: banana\n":                  `line 1: "banana" is no duration`,
		"memory: much\n":                    `line 1: "much" is no size`,
		"memory: NaNMiB\n":                  `line 1: "NaNMiB" is no size`,
		"window: [\n":                       "line",
		"every: 1s\n":                       "too often",
		"window: 5s\n":                      "shorter than every",
		"window: 35s\n":                     "no multiple",
		"window: 1h\n":                      "longer than",
		"memory: 1MiB\n":                    "less than",
		"\n\nmute:\n  - reason: x\n":        "line 4",
		"thresholds:\n  - set: {a: 1}\n":    "line 2",
		"window: 30s\n---\nwindow: 30s\n":   "one YAML document",
		"window: 30s\nwindow: 60s\n":        "line 2",
		"thresholds:\n  - id: a\n    set: {x: 1}\n    y: 2\n": `line 4: unknown key "y"`,
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Parse([]byte(text)); err == nil && c.validate() != nil {
			t.Errorf("%q is taken and not valid", text)
		}
	})
}
