// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
)

// Params parses the values of --param: event-loop-blocked.warn-lag=100ms.
func Params(given []string) (map[*analysis.Param]float64, error) {
	params := make(map[*analysis.Param]float64)
	for _, g := range given {
		name, text, ok := strings.Cut(g, "=")
		if !ok {
			return nil, fmt.Errorf("--param %s: expected ID.NAME=VALUE, for example event-loop-blocked.warn-lag=100ms", g)
		}
		p, err := Param(name)
		if err != nil {
			return nil, fmt.Errorf("--param %s: %w", g, err)
		}
		if params[p], err = ParamValue(p, text); err != nil {
			return nil, fmt.Errorf("--param %s: %w", g, err)
		}
	}
	return params, nil
}

// Param returns the param with a full name, such as event-loop-blocked.warn-lag.
func Param(name string) (*analysis.Param, error) {
	var known []string
	for _, a := range suite.Analyzers {
		for _, p := range a.Params {
			if a.Name+"."+p.Name == name {
				return p, nil
			}
			known = append(known, a.Name+"."+p.Name)
		}
	}
	return nil, fmt.Errorf("unknown param %q: did you mean %s? (headroom explain ID lists them)", name, Closest(name, known))
}

// maxParam is the largest value of a param: the kernel reports no larger number.
const maxParam = 1 << 64

// ParamValue parses a number in the param's base unit, a duration or a percentage.
func ParamValue(p *analysis.Param, text string) (float64, error) {
	v, err := paramNumber(p, text)
	if err != nil || !(v >= 0 && v <= maxParam) {
		return 0, fmt.Errorf("%q is not a number of unit %s that is 0 or more, for example %v", text, p.Unit, p.Default)
	}
	return v, nil
}

func paramNumber(p *analysis.Param, text string) (float64, error) {
	if d, err := time.ParseDuration(text); err == nil && p.Unit == observe.Seconds {
		return d.Seconds(), nil
	}
	number, scale := text, 1.0
	if p.Unit == observe.Ratio && strings.HasSuffix(text, "%") {
		number, scale = strings.TrimSuffix(text, "%"), 100
	}
	v, err := strconv.ParseFloat(number, 64)
	return v / scale, err
}
