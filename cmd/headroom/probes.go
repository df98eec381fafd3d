// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"runtime/debug"

	ebpfbtf "github.com/cilium/ebpf/btf"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/files"
	"github.com/headroom-project/headroom/bpf/tick"
)

// probes are the eBPF collections, each opened when the first sampler asks.
func probes() *sampler.Probes {
	types := &kernelTypes{users: 2}
	return &sampler.Probes{Openers: map[string]func() (io.Closer, error){
		"tick":  func() (io.Closer, error) { return openTick(types) },
		"files": func() (io.Closer, error) { return openFiles(types) },
	}}
}

// kernelTypes is the kernel's BTF, parsed once for all collections: it takes
// tens of MB, which nothing needs once the programs are loaded.
type kernelTypes struct {
	users int // that have not opened their collection yet
	cache *ebpfbtf.Cache
	usual int // percentage of the collector
}

// sparing is the collector's percentage while the types are in memory: as
// much garbage again as they take would be the peak of the whole program.
const sparing = 10

func (k *kernelTypes) get() *ebpfbtf.Cache {
	if k.cache == nil {
		k.cache = ebpfbtf.NewCache()
		k.usual = debug.SetGCPercent(sparing)
	}
	return k.cache
}

// done gives the memory back after the last one.
func (k *kernelTypes) done() {
	if k.users--; k.users > 0 || k.cache == nil {
		return
	}
	k.cache = nil
	debug.FreeOSMemory()
	debug.SetGCPercent(k.usual)
}

func openTick(types *kernelTypes) (io.Closer, error) {
	defer types.done()
	p, err := tick.Open(tick.Options{Types: types.get()})
	var u *tick.Unsupported
	if errors.As(err, &u) {
		return nil, sampler.NotSupported(u.Cure, "%s", u.Reason)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func openFiles(types *kernelTypes) (io.Closer, error) {
	defer types.done()
	p, err := files.Open(files.Options{Types: types.get()})
	var u *files.Unsupported
	if errors.As(err, &u) {
		return nil, sampler.NotSupported(u.Cure, "%s", u.Reason)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}
