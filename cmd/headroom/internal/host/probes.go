// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"io"
	"runtime/debug"
	"sync"

	ebpfbtf "github.com/cilium/ebpf/btf"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/files"
	"github.com/headroom-project/headroom/bpf/oom"
	"github.com/headroom-project/headroom/bpf/rediskeys"
	"github.com/headroom-project/headroom/bpf/requests"
	"github.com/headroom-project/headroom/bpf/tick"
)

// probes returns the eBPF collections. Each is opened when the first sampler asks
// for it, unless agree returns an error.
func probes(agree func(*ebpfbtf.Cache) error) *sampler.Probes {
	types := &kernelTypes{}
	openers := map[string]func() (io.Closer, error){
		"tick":      opener(types, agree, func(c *ebpfbtf.Cache) (io.Closer, error) { return tick.Open(tick.Options{Types: c}) }),
		"files":     opener(types, agree, func(c *ebpfbtf.Cache) (io.Closer, error) { return files.Open(files.Options{Types: c}) }),
		"oom":       opener(types, agree, func(c *ebpfbtf.Cache) (io.Closer, error) { return oom.Open(c) }),
		"requests":  opener(types, agree, func(c *ebpfbtf.Cache) (io.Closer, error) { return requests.Open(c) }),
		"rediskeys": opener(types, agree, func(c *ebpfbtf.Cache) (io.Closer, error) { return rediskeys.Open(c) }),
	}
	types.users = len(openers)
	return &sampler.Probes{Openers: openers}
}

// opener wraps open so that its errors are those of samplers.
func opener(types *kernelTypes, agree func(*ebpfbtf.Cache) error, open func(*ebpfbtf.Cache) (io.Closer, error)) func() (io.Closer, error) {
	return func() (io.Closer, error) {
		types.mu.Lock()
		defer types.mu.Unlock()
		defer types.done()
		if err := agree(types.get()); err != nil {
			return nil, err
		}
		probe, err := open(types.get())
		if err != nil {
			return nil, inWordsOfSamplers(err)
		}
		return probe, nil
	}
}

// inWordsOfSamplers converts err to the error that samplers use for what a host
// does not support.
func inWordsOfSamplers(err error) error {
	var u interface{ Unsupported() (reason, cure string) }
	if errors.As(err, &u) {
		reason, cure := u.Unsupported()
		return sampler.NotSupported(cure, "%s", reason)
	}
	return err
}

// kernelTypes is the kernel's BTF, parsed once for all collections. It takes tens
// of MB, which are not needed once the programs are loaded.
type kernelTypes struct {
	mu    sync.Mutex // held during use: the cache is for one goroutine
	users int        // callers that have not opened their collection yet
	cache *ebpfbtf.Cache
	usual int // GOGC before
}

// sparing is the value of GOGC while the types are in memory: a higher one would
// double the memory that they take, the peak of the whole program.
const sparing = 10

func (k *kernelTypes) get() *ebpfbtf.Cache {
	if k.cache == nil {
		k.cache = ebpfbtf.NewCache()
		k.usual = debug.SetGCPercent(sparing)
	}
	return k.cache
}

// done frees the memory after the last user.
func (k *kernelTypes) done() {
	if k.users--; k.users > 0 || k.cache == nil {
		return
	}
	k.cache = nil
	debug.FreeOSMemory()
	debug.SetGCPercent(k.usual)
}
