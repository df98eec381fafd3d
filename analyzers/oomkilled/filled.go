// SPDX-License-Identifier: Apache-2.0

package oomkilled

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// fillShare is the part of a limit from which one kind of memory is the cause.
	fillShare = 0.5
	// spared is the memory that a process needs, as a factor of its highest anonymous
	// memory.
	spared = 1.15
	mib    = 1 << 20
)

// A filling is the memory under a limit by kind, at the highest readings of the
// window. Readings are a second apart: at the kill each value can have been higher.
type filling struct {
	anon, shmem, kernel float64 // bytes, 0 if not known
}

func fillingOf(p *facts.Pass, limiter observe.ID) (f filling) {
	for metric, bytes := range map[*observe.Metric]*float64{
		catalog.CgroupMemoryAnon: &f.anon, catalog.CgroupMemoryShmem: &f.shmem, catalog.CgroupMemoryKernel: &f.kernel,
	} {
		_, *bytes, _ = p.Range(metric, limiter)
	}
	return f
}

// byFiles reports whether tmpfs files or shared memory filled the limit: they are
// charged to the process that wrote them, and stay when that process is killed.
func (f filling) byFiles(limit float64) bool { return f.shmem >= fillShare*limit && f.shmem > f.anon }

func (f filling) byKernel(limit float64) bool {
	return f.kernel >= fillShare*limit && f.kernel > f.anon
}

// summary names what filled the limit apart from the victim, "" if the victim did.
func (f filling) summary(limit float64) string {
	switch {
	case f.byFiles(limit):
		return fmt.Sprintf(", and files in memory (tmpfs, /dev/shm, emptyDir) and shared memory hold %s of it", analysis.Bytes(f.shmem))
	case f.byKernel(limit):
		return fmt.Sprintf(", and memory of the kernel (sockets, page tables, directory entries) holds %s of it", analysis.Bytes(f.kernel))
	}
	return ""
}

// others names the program whose processes hold most of the limit together, if that is
// not the first victim: the kernel prefers victims by oom_score_adj, and each of many
// workers is small. It returns "" if the victim held most itself.
func (k *killing) others(p *facts.Pass) string {
	if len(k.victims) == 0 || k.held >= fillShare*k.limit {
		return ""
	}
	type program struct {
		bytes, processes float64
	}
	held := make(map[string]*program)
	most := ""
	for process := range p.Entities(catalog.ProcessAnon) {
		if !p.Index.Within(process, k.limiter) {
			continue
		}
		name := p.Command(process)
		if held[name] == nil {
			held[name] = &program{}
		}
		_, high, _ := p.Range(catalog.ProcessAnon, process)
		held[name].bytes += high
		held[name].processes++
		if most == "" || held[name].bytes > held[most].bytes {
			most = name
		}
	}
	if most == "" || held[most].bytes < fillShare*k.limit || held[most].bytes > k.limit {
		return "" // more than fits: some ended before others began
	}
	return fmt.Sprintf(", and %s of %s hold %s of it", analysis.Number(held[most].processes, "process", "processes"), most, analysis.Bytes(held[most].bytes))
}

func (f filling) evidence() []analysis.Evidence {
	var e []analysis.Evidence
	for _, part := range []struct {
		metric *observe.Metric
		bytes  float64
	}{{catalog.CgroupMemoryAnon, f.anon}, {catalog.CgroupMemoryShmem, f.shmem}, {catalog.CgroupMemoryKernel, f.kernel}} {
		if part.bytes > 0 {
			e = append(e, analysis.Evidence{Metric: part.metric, Label: "highest", Value: part.bytes, Unit: observe.Bytes})
		}
	}
	return e
}

// boundFiles recommends to limit the files to what the processes do not need.
func (k *killing) boundFiles(p *facts.Pass) analysis.Recommendation {
	room := max(0, math.Floor((k.limit-spared*(max(k.filled.anon, k.held)+k.filled.kernel))/mib)*mib)
	name := p.Name(k.limiter)
	return analysis.Recommendation{
		Verb:     analysis.BoundTmpfs,
		Quantity: &analysis.Estimate{Value: room, High: analysis.Bound(room), Unit: "bytes"},
		Action: fmt.Sprintf("Delete files from the tmpfs mounts of %s, and bound the mounts to %s (size= of tmpfs, --shm-size of docker run, sizeLimit of an emptyDir): its processes need the rest of its limit of %s",
			name, analysis.Bytes(room), analysis.Bytes(k.limit)),
		Verify: fmt.Sprintf("headroom.cgroup.memory.stat of kind shmem of %s stays below %s", name, analysis.Bytes(room)),
		Risk:   "a write to a full tmpfs fails with ENOSPC",
		NotIf:  "it is shared memory that the program needs, such as the buffers of a database: then raise the limit",
		Expect: []analysis.Expectation{{Metric: catalog.CgroupMemoryShmem, Label: "highest", From: k.filled.shmem, To: min(room, k.filled.shmem), Unit: observe.Bytes}},
	}
}
