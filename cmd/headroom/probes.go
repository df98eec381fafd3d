// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/oom"
	"github.com/headroom-project/headroom/bpf/tick"
)

// probes are the eBPF collections, each opened when the first sampler asks.
func probes() *sampler.Probes {
	return &sampler.Probes{Openers: map[string]func() (io.Closer, error){"tick": openTick, "oom": openOOM}}
}

func openTick() (io.Closer, error) {
	p, err := tick.Open(tick.Options{})
	var u *tick.Unsupported
	if errors.As(err, &u) {
		return nil, sampler.NotSupported(u.Cure, "%s", u.Reason)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func openOOM() (io.Closer, error) {
	p, err := oom.Open(nil)
	var u *oom.Unsupported
	if errors.As(err, &u) {
		return nil, sampler.NotSupported(u.Cure, "%s: cgroups tell that somebody was killed for memory, and not who", u.Reason)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}
