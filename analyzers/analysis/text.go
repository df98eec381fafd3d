// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Seconds formats a duration: 412 ms, 1.3 s, 16 s.
func Seconds(s float64) string {
	switch {
	case s < 0.001:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case s < 9.95:
		return trimZero(fmt.Sprintf("%.1f", s)) + " s"
	}
	return fmt.Sprintf("%.0f s", s)
}

// Percent formats a share: 41%, 0.4%.
func Percent(share float64) string {
	if share > 0 && share < 0.01 {
		return trimZero(fmt.Sprintf("%.1f", share*100)) + "%"
	}
	return fmt.Sprintf("%.0f%%", share*100)
}

// Cores formats a number of CPUs: 1 core, 0.2 cores, 1.1 cores.
func Cores(n float64) string {
	text := strconv.FormatFloat(math.Round(n*100)/100, 'f', -1, 64)
	if text == "1" {
		return "1 core"
	}
	return text + " cores"
}

// Number formats a count with its noun in singular or plural: 1 tick, 3 ticks.
func Number(n float64, one, many string) string {
	if math.Round(n) == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%.0f %s", n, many)
}

func trimZero(s string) string { return strings.TrimSuffix(s, ".0") }

// List joins names: a, b and c.
func List(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// Bytes formats an amount of memory in powers of two, as limits are set: 512 MiB,
// 1.5 GiB.
func Bytes(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	u := 0
	for u < len(units)-1 && n >= 1023.5 {
		n, u = n/1024, u+1
	}
	if n < 9.95 && u > 0 {
		return trimZero(fmt.Sprintf("%.1f", n)) + " " + units[u]
	}
	return fmt.Sprintf("%.0f %s", n, units[u])
}

// PerTime formats a rate with a unit that gives a readable number.
func PerTime(perSecond float64) string {
	const minute, hour = 60, 3600
	switch {
	case perSecond >= 1:
		return fmt.Sprintf("%.0f per second", perSecond)
	case perSecond*minute >= 1:
		return fmt.Sprintf("%.0f per minute", perSecond*minute)
	}
	return fmt.Sprintf("%.0f per hour", perSecond*hour)
}

// Ahead formats a time left: 40 s, 12 min, 3 h, 2 days, more than 100 years.
func Ahead(seconds float64) string {
	const minute, hour, day = 60, 3600, 86400
	switch {
	case seconds < 1.5*minute:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 1.5*hour:
		return fmt.Sprintf("%.0f min", seconds/minute)
	case seconds < 1.5*day:
		return fmt.Sprintf("%.0f h", seconds/hour)
	}
	if seconds > 100*365*day {
		return "more than 100 years"
	}
	return fmt.Sprintf("%.0f days", seconds/day)
}
