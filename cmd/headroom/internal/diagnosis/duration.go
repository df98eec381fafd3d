// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"fmt"
	"time"
)

// DefaultDuration is how long a host is observed for one diagnosis.
const DefaultDuration = 30 * time.Second

// An observation shorter than two steps has nothing to compare. One longer than a day
// is a mistyped unit, and its window would hide what happened in it.
const (
	minDuration = 2 * time.Second
	maxDuration = 24 * time.Hour
)

// CheckDuration returns an error for a duration that no host is observed for.
func CheckDuration(d time.Duration) error {
	switch {
	case d <= 0:
		return fmt.Errorf("%s: must be positive, for example 30s", d)
	case d < minDuration:
		return fmt.Errorf("%s: too short to compare two readings, which are a second apart; use at least %s", d, minDuration)
	case d > maxDuration:
		return fmt.Errorf("%s: longer than %s; use less, for example 5m", d, maxDuration)
	}
	return nil
}
