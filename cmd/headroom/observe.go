// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// A source gives snapshots: this host, or a recording of one.
type source struct {
	host observe.Host
	each func(context.Context, func(*observe.Snapshot) error) error
}

// live observes this host for a while.
func live(d time.Duration) source {
	return source{
		host: host.Describe(),
		each: func(ctx context.Context, see func(*observe.Snapshot) error) error {
			r := run.Open(run.Options{Samplers: host.Samplers, Host: host.New(observe.DefaultLimit)})
			return errors.Join(r.Observe(ctx, d, see), r.Close())
		},
	}
}

// replay gives the snapshots of a recording; name is for messages.
func replay(r io.Reader, name string) (source, error) {
	recording, err := archive.NewReader(r)
	if err != nil {
		return source{}, fmt.Errorf("reading %s: %w", name, err)
	}
	each := func(ctx context.Context, see func(*observe.Snapshot) error) error {
		for ctx.Err() == nil {
			s, err := recording.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
			if err := see(s); err != nil {
				return err
			}
		}
		return nil
	}
	return source{host: recording.Header().Host, each: each}, nil
}

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
		return fmt.Errorf("--duration %s: a time to observe is longer than nothing (such as 30s)", d)
	case d < minDuration:
		return fmt.Errorf("--duration %s: too short to compare two readings, which are a second apart: take %s or more", d, minDuration)
	case d > maxDuration:
		return fmt.Errorf("--duration %s: longer than %s, take less (such as 5m)", d, maxDuration)
	}
	return nil
}
