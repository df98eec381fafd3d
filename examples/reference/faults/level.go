// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Unit is the unit of a level.
type Unit string

// The units of levels.
const (
	Milliseconds Unit = "ms"
	Bytes        Unit = "bytes"
	Count        Unit = "number"
)

// sizes are decimal, as in findings; longer suffixes come first.
var sizes = []struct {
	suffix string
	bytes  float64
}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}, {"", 1}}

// Parse reads a level: 200ms or 1.5s, 20MB, 0.2 or 8. The result is a plain
// number of the unit.
func (u Unit) Parse(level string) (float64, error) {
	var v float64
	var err error
	switch u {
	case Milliseconds:
		var d time.Duration
		d, err = time.ParseDuration(level)
		v = float64(d) / float64(time.Millisecond)
	case Bytes:
		v, err = parseSize(level)
	default:
		v, err = strconv.ParseFloat(level, 64)
	}
	if err != nil || v < 0 || v > 1e12 {
		return 0, fmt.Errorf("%q is not a level in %s", level, u)
	}
	return v, nil
}

func parseSize(level string) (float64, error) {
	for _, s := range sizes {
		if number, ok := strings.CutSuffix(level, s.suffix); ok {
			v, err := strconv.ParseFloat(number, 64)
			return v * s.bytes, err
		}
	}
	return 0, strconv.ErrSyntax
}

// At returns the settings of the fault at a level.
func (f Fault) At(level float64) map[string]string {
	text := strconv.FormatFloat(level, 'f', -1, 64)
	settings := map[string]string{}
	for name, value := range f.Settings {
		settings[name] = strings.ReplaceAll(value, "{level}", text)
	}
	return settings
}

// Tells returns a description of the fault at a level, which is printed as the user
// wrote it.
func (f Fault) Tells(level string) string { return strings.ReplaceAll(f.Does, "{level}", level) }
