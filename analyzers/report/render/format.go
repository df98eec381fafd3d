// SPDX-License-Identifier: Apache-2.0

package render

import (
	"math"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/observe"
)

// Human formats a value with a readable unit: 412 ms, 1.3 cores, 256 MiB, 38%.
func Human(v float64, unit string) string {
	switch observe.Unit(unit) {
	case observe.Seconds:
		return humanSeconds(v)
	case observe.Bytes:
		return humanBytes(v)
	case observe.Ratio:
		return percent(v)
	case observe.Cores:
		return plural(v, "core")
	case observe.Count, "":
		return short(v)
	}
	if name, ok := strings.CutPrefix(unit, "{"); ok {
		return plural(v, strings.TrimSuffix(name, "}"))
	}
	return short(v) + " " + unit
}

func plural(v float64, noun string) string {
	n := short(v)
	if n == "1" || strings.HasSuffix(noun, "s") || strings.HasSuffix(noun, "s an hour") {
		return n + " " + noun
	}
	return n + " " + noun + "s"
}

// short keeps three digits, and all digits of an integer.
func short(v float64) string {
	if v == 0 || math.IsInf(v, 0) {
		return trimmed(v, 0)
	}
	return trimmed(v, 2-int(math.Floor(math.Log10(math.Abs(v)))))
}

// hugeNumber is the value above which digits are useless: no kernel counts that
// far.
const hugeNumber = 1e15

// maxDecimals is the number of decimals after which a value counts as 0: a
// microsecond in seconds.
const maxDecimals = 6

func trimmed(v float64, decimals int) string {
	if math.Abs(v) >= hugeNumber || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	s := strconv.FormatFloat(v, 'f', min(max(decimals, 0), maxDecimals), 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// percent formats 0.384 as 38%; below ten it keeps two digits.
func percent(v float64) string {
	p := 100 * v
	if p == 0 || math.Abs(p) >= 9.95 {
		return trimmed(p, 0) + "%"
	}
	return trimmed(p, 1-int(math.Floor(math.Log10(math.Abs(p))))) + "%"
}

func humanSeconds(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0 s"
	case a < 0.9995e-3:
		return short(v*1e6) + " µs"
	case a < 0.9995:
		return short(v*1e3) + " ms"
	case a < 60:
		return short(v) + " s"
	case a < 3600:
		return two(v, 60, "min", 1, "s")
	case a < 48*3600:
		return two(v, 3600, "h", 60, "min")
	}
	return two(v, 86400, "d", 3600, "h")
}

// two formats v in a large unit and the rest in a small one: 2 h 5 min.
func two(v, large float64, largeName string, small float64, smallName string) string {
	v = math.Round(v/small) * small
	whole := math.Trunc(v / large)
	s := trimmed(whole, 0) + " " + largeName
	if rest := math.Abs(v - whole*large); rest >= small {
		s += " " + trimmed(rest/small, 0) + " " + smallName
	}
	return s
}

func humanBytes(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for math.Abs(v) >= 1023.5 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return short(v) + " " + units[i]
}
