// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// Observations shorter than two steps hold nothing to compare; one longer
// than a day is a mistyped unit, and its window would hide what happened in it.
const (
	minDuration     = 2 * time.Second
	maxDuration     = 24 * time.Hour
	defaultDuration = 30 * time.Second
)

func validDuration(d time.Duration) error {
	switch {
	case d <= 0:
		return fmt.Errorf("--duration %s: must be positive, for example 30s", d)
	case d < minDuration:
		return fmt.Errorf("--duration %s: too short to compare two readings, which are a second apart; use at least %s", d, minDuration)
	case d > maxDuration:
		return fmt.Errorf("--duration %s: longer than %s; use less, for example 5m", d, maxDuration)
	}
	return nil
}
