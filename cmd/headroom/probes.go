// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// probes are the eBPF collections, each opened when the first sampler asks.
func probes() *sampler.Probes {
	return &sampler.Probes{Openers: map[string]func() (io.Closer, error){"tick": openTick}}
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
