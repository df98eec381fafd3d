// SPDX-License-Identifier: Apache-2.0

package report

import "github.com/headroom-project/headroom/analyzers/analysis"

// A Severity is a severity that is encoded as its name. analysis.Severity itself is
// encoded as its number, in the files of the agent's state.
type Severity analysis.Severity

// String returns the name.
func (s Severity) String() string { return analysis.Severity(s).String() }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(name []byte) error {
	parsed, err := analysis.ParseSeverity(string(name))
	*s = Severity(parsed)
	return err
}
