// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"math"
	"runtime/metrics"
	"time"
)

// A Meter reads the memory statistics of the Go runtime.
type Meter struct {
	began   time.Time
	samples []metrics.Sample
}

// Names of the runtime's metrics (go doc runtime/metrics), in the order of samples.
var names = [...]string{
	"/gc/heap/live:bytes",
	"/memory/classes/total:bytes",
	"/memory/classes/heap/released:bytes",
	"/memory/classes/heap/objects:bytes",
	"/memory/classes/heap/free:bytes",
	"/cpu/classes/gc/total:cpu-seconds",
	"/gc/gogc:percent",
}

// NewMeter returns a Meter.
func NewMeter() *Meter {
	m := &Meter{began: time.Now()}
	for _, name := range names {
		m.samples = append(m.samples, metrics.Sample{Name: name})
	}
	return m
}

// Read returns a Reading without the numbers of processes.
func (m *Meter) Read() Reading {
	metrics.Read(m.samples)
	bytes := func(i int) int64 { return int64(min(m.samples[i].Value.Uint64(), math.MaxInt64)) }
	live, total, released, objects, free := bytes(0), bytes(1), bytes(2), bytes(3), bytes(4)
	return Reading{
		At: time.Since(m.began).Seconds(), Live: live, Other: max(0, total-released-objects-free),
		Collecting: m.samples[5].Value.Float64(),
	}
}

// mostGrowth is used for GOGC if it is off or higher.
const mostGrowth = 2

// Growth returns the garbage that may accumulate, as a share of live memory.
func (m *Meter) Growth() float64 {
	metrics.Read(m.samples)
	return min(mostGrowth, float64(m.samples[6].Value.Uint64())/100)
}
