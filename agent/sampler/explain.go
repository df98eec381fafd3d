// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/refusal"
)

// Explain returns err as an Unsupported where it is about the limits of this process
// or of the host, and err itself otherwise.
func Explain(err error) error {
	var u *Unsupported
	if errors.As(err, &u) {
		return u
	}
	if r := refusal.Limit(err); r != nil {
		return &Unsupported{Reason: r.Reason, Cure: r.Fix}
	}
	return err
}

// Gap adds a gap of the sampler called name that explains err, unless it is there
// already: several files of a source can fail for one reason.
func Gap(s *observe.Snapshot, name string, err error) {
	g := observe.Gap{Source: name, Reason: err.Error()}
	var u *Unsupported
	if errors.As(Explain(err), &u) {
		g.Reason, g.Cure = u.Reason, u.Cure
	}
	if !slices.Contains(s.Gaps, g) {
		s.Gaps = append(s.Gaps, g)
	}
}

// Cure returns how to fix err, "" if that is not known.
func Cure(err error) string {
	var u *Unsupported
	if errors.As(Explain(err), &u) {
		return u.Cure
	}
	return ""
}

// Unreadable explains why a file of the kernel's could not be opened or read. A
// file that is not there is absent, unless a mount hides it: absent is what
// it means that the kernel has no such file.
func Unreadable(path string, err, absent error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EOPNOTSUPP):
		if hidden := Hidden(path); hidden != nil {
			return hidden
		}
		return absent
	case errors.Is(err, fs.ErrPermission):
		return NotSupported("run as root, and let the container see the host's /proc and /sys", "%s may not be read", path)
	}
	return Explain(fmt.Errorf("read %s: %w", path, err))
}

// Empty explains why a file of the kernel's that always has text has none: it is
// masked, as container engines do by a mount of /dev/null.
func Empty(path string) error {
	if hidden := Hidden(path); hidden != nil {
		return hidden
	}
	return NotSupported("let the container see the host's /proc", "%s is empty", path)
}

// Hidden returns an Unsupported where a mount hides a file of the kernel's, and nil
// otherwise.
func Hidden(path string) error {
	if r := refusal.Hidden(path); r != nil {
		return &Unsupported{Reason: r.Reason, Cure: r.Fix}
	}
	return nil
}
