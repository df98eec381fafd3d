// SPDX-License-Identifier: Apache-2.0

package history

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	hour = 3600 // seconds
	// fiveMinutes is the length of the means of which an hour keeps the highest.
	fiveMinutes = 300
	// leastSpell is the part of five minutes, in seconds, that must be observed for
	// their mean to count.
	leastSpell = 60
	// startUp is the time, in seconds, for which a new instance counts as starting:
	// loading and compiling code needs CPU time that serving does not
	// (docs/science.md, Right size).
	startUp = 120
	// absent is the time without a reading, in seconds, after which an instance is a new
	// one: a group that rests is read every five seconds.
	absent = 15
	// maxHours is the number of hours kept: each hour of the week twice.
	maxHours = 2 * 7 * 24
	// maxInstances bounds the groups that are followed: a node of 250 pods with a few
	// containers each.
	maxInstances = 1000
	// usageShare is the part of the budget for hours: 120 workloads for two weeks with
	// the default. Beyond it, the oldest hours of all workloads are dropped.
	usageShare = 0.25
	// rowCost and workloadCost are the memory of an hour, and of a workload with its name
	// and an instance, in bytes.
	rowCost, workloadCost = 24, 256
)

// A usage keeps what each container and service used, hour by hour. Instances of one
// workload share their hours: a deployment replaces all of its containers.
type usage struct {
	instances map[observe.ID]*instance
	workloads map[string][]row // oldest hour first
	began     int64            // time of the first step
}

// An instance is a cgroup that is followed, with its hour in progress.
type instance struct {
	workload string
	since    int64   // when it started, 0 if it did before the agent
	read     int64   // time of the last reading
	hour     int64   // number of the hour in progress
	charged  float64 // the last reading of its memory
	sums     hourSums
	five     spell
}

type hourSums struct {
	seconds, throttled, kills float64 // observed
	cpu, served               float64 // without its start
	high, peak, start         float64
	need, working             float64
}

// A spell is five minutes of CPU use.
type spell struct {
	number       int64
	cpu, seconds float64
}

// A row is an hour in memory and in files.
type row struct {
	Hour                                              int32
	Seconds, Kills                                    uint16
	Mean, High, Peak, Start, Throttled, Need, Working short
	Padding                                           uint16
}

// valid reports whether all numbers are finite and not negative, and the time is at most
// an hour.
func (r row) valid() bool {
	const infinite = 0x7f80
	return r.Hour >= 0 && r.Seconds <= hour && max(r.Mean, r.High, r.Peak, r.Start, r.Throttled, r.Need, r.Working) < infinite
}

// A short is a positive number with eight significant bits, rounded up.
type short uint16

func shorten(v float64) short {
	bits := math.Float32bits(float32(max(0, v)))
	if bits&0xffff != 0 {
		bits += 1 << 16
	}
	return short(bits >> 16)
}

func (s short) value() float64 { return float64(math.Float32frombits(uint32(s) << 16)) }

func newUsage() usage {
	return usage{instances: make(map[observe.ID]*instance), workloads: make(map[string][]row)}
}

// workloadOf returns the name under which hours of a cgroup are kept; "" for a cgroup
// that is neither a container, nor a service, nor has a limit of its own.
func workloadOf(step *observe.Window, x *observe.Index, id observe.ID) string {
	attr := func(name string) string { return x.Attr(id, name) }
	switch {
	case attr(catalog.AttrContainerName) != "":
		owner := cmp.Or(attr(catalog.AttrWorkload), attr(catalog.AttrPodName), attr(catalog.AttrPodUID))
		return strings.Join([]string{attr(catalog.AttrNamespace), owner, attr(catalog.AttrContainerName)}, "/")
	case attr(catalog.AttrContainerID) != "":
		return attr(catalog.AttrContainerID)
	case attr(catalog.AttrPodUID) != "":
		return "" // the sum of its containers
	case attr(catalog.AttrService) != "":
		if parent, ok := x.Parent(id); ok && x.Attr(parent, catalog.AttrService) == attr(catalog.AttrService) {
			return ""
		}
		return attr(catalog.AttrService)
	}
	_, cpu := step.Last(catalog.CgroupCPULimit, id)
	_, memory := step.Last(catalog.CgroupMemoryLimit, id)
	if !cpu && !memory || x.Inherited(id, catalog.AttrContainerID) != "" {
		return ""
	}
	return x.Entity(id).ID
}

// addUsage adds a step.
func (h *History) addUsage(step *observe.Window) {
	u := &h.usage
	if u.began == 0 {
		u.began = h.now
	}
	for id, used := range step.Values(catalog.CgroupCPUTime) {
		if in := h.instance(step, id); in != nil {
			in.add(h, step, id, used)
		}
	}
	for id, in := range u.instances {
		if h.now-in.read > absent {
			h.fold(in)
			delete(u.instances, id)
		}
	}
}

// instance returns the instance of a cgroup, a new one if it has none; nil for a cgroup
// that is not followed.
func (h *History) instance(step *observe.Window, id observe.ID) *instance {
	u := &h.usage
	if in := u.instances[id]; in != nil {
		return in
	}
	name := workloadOf(step, h.index, id)
	if name == "" || len(u.instances) >= maxInstances {
		return nil
	}
	in := &instance{workload: name, hour: h.now / hour}
	if h.now-u.began > absent {
		in.since = h.now
	}
	u.instances[id] = in
	return in
}

func (in *instance) add(h *History, step *observe.Window, id observe.ID, used float64) {
	if now := h.now / hour; now != in.hour {
		in.workload = workloadOf(step, h.index, id) // a pod's name can be known late
		h.fold(in)
		in.hour = now
	}
	in.read = h.now
	s := &in.sums
	if seconds := step.Observed(catalog.CgroupCPUTime, id); seconds > 0 {
		in.addCPU(h.now, used, seconds)
		s.throttled += increase(step, catalog.CgroupThrottledS, id)
	}
	s.kills += increase(step, catalog.CgroupOOMKills, id)
	in.addMemory(step, id)
}

// addMemory adds a reading of the statistics, which are read less often than the total.
func (in *instance) addMemory(step *observe.Window, id observe.ID) {
	if v, ok := step.Last(catalog.CgroupMemoryUsage, id); ok {
		in.charged = v
	}
	file, ok := step.Last(catalog.CgroupMemoryFile, id)
	if !ok || in.charged == 0 {
		return
	}
	shmem, _ := step.Last(catalog.CgroupMemoryShmem, id)
	inactive, _ := step.Last(catalog.CgroupMemoryInactiveFile, id)
	in.sums.need = max(in.sums.need, in.charged-max(0, file-shmem))
	in.sums.working = max(in.sums.working, in.charged-inactive)
}

func increase(step *observe.Window, m *observe.Metric, id observe.ID) float64 {
	v, _ := step.Increase(m, id)
	return v
}

func (in *instance) addCPU(now int64, used, seconds float64) {
	s := &in.sums
	s.seconds += seconds
	if in.since != 0 && now-in.since < startUp {
		s.start = max(s.start, used/seconds)
		return
	}
	s.cpu += used
	s.served += seconds
	s.peak = max(s.peak, used/seconds)
	if n := now / fiveMinutes; n != in.five.number {
		s.high = max(s.high, in.five.mean())
		in.five = spell{number: n}
	}
	in.five.cpu += used
	in.five.seconds += seconds
}

// mean returns the mean of five minutes, 0 if too little of them was observed.
func (s spell) mean() float64 {
	if s.seconds < leastSpell {
		return 0
	}
	return s.cpu / s.seconds
}

// row returns the hour in progress.
func (in *instance) row() (row, bool) {
	s := in.sums
	if s.seconds <= 0 {
		return row{}, false
	}
	return row{
		Hour: int32(in.hour), Seconds: uint16(min(hour, s.seconds)), Kills: uint16(min(math.MaxUint16, s.kills)),
		Mean: shorten(s.cpu / max(1, s.served)), High: shorten(max(s.high, in.five.mean())), Peak: shorten(s.peak), Start: shorten(s.start),
		Throttled: shorten(s.throttled / s.seconds), Need: shorten(s.need), Working: shorten(s.working),
	}, true
}

// fold adds the hour in progress to the hours of the workload, and empties it.
func (h *History) fold(in *instance) {
	if r, ok := in.row(); ok && in.workload != "" {
		h.keepHour(in.workload, r)
	}
	in.sums = hourSums{}
}

// keepHour adds an hour to a workload. An hour that is known gets the most of both.
func (h *History) keepHour(workload string, r row) {
	u := &h.usage
	rows, known := u.workloads[workload]
	if !known {
		h.bytes += workloadCost
	}
	i, found := search(rows, r.Hour)
	if found {
		rows[i] = rows[i].with(r)
	} else {
		rows = slices.Insert(rows, i, r)
		h.bytes += rowCost
	}
	u.workloads[workload] = rows
}

// search returns the index of an hour in rows, or where it belongs.
func search(rows []row, hour int32) (i int, found bool) {
	return slices.BinarySearchFunc(rows, hour, func(at row, hour int32) int { return cmp.Compare(at.Hour, hour) })
}

// with returns the most of two instances, or of two parts of an hour.
func (r row) with(o row) row {
	r.Seconds = min(hour, r.Seconds+o.Seconds)
	r.Kills += min(o.Kills, math.MaxUint16-r.Kills)
	r.Mean, r.High, r.Peak, r.Start = max(r.Mean, o.Mean), max(r.High, o.High), max(r.Peak, o.Peak), max(r.Start, o.Start)
	r.Throttled, r.Need, r.Working = max(r.Throttled, o.Throttled), max(r.Need, o.Need), max(r.Working, o.Working)
	return r
}

// trimUsage drops hours that are too old, or for which there is no memory.
func (h *History) trimUsage() {
	u := &h.usage
	span := maxHours
	if n := len(u.workloads); n > 0 {
		room := (usageShare*float64(h.budget)/float64(n) - workloadCost) / rowCost
		span = min(span, max(1, int(room)))
	}
	oldest := int32(h.now/hour) - int32(span)
	for name, rows := range u.workloads {
		i, _ := search(rows, oldest)
		if i == 0 {
			continue
		}
		h.bytes -= i * rowCost
		u.workloads[name] = slices.Clone(rows[i:])
		if i == len(rows) {
			h.bytes -= workloadCost
			delete(u.workloads, name)
		}
	}
}

// Hours implements analysis.History: the hours of the workload of a container or
// service, oldest first, the one in progress included.
func (h *History) Hours(id observe.ID) iter.Seq[observe.Hour] {
	return func(yield func(observe.Hour) bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		in := h.usage.instances[id]
		if in == nil {
			return
		}
		now, running := in.row()
		for _, r := range h.usage.workloads[in.workload] {
			if running && r.Hour == now.Hour {
				now = now.with(r)
				break
			}
			if !yield(r.hour(h.now)) {
				return
			}
		}
		if running {
			yield(now.hour(h.now))
		}
	}
}

// epochDay is the day of the week of 1970-01-01, a Thursday, if Monday is 0.
const epochDay = 3

func (r row) hour(now int64) observe.Hour {
	return observe.Hour{
		At: float64(int64(r.Hour)*hour - now), OfWeek: (int(r.Hour) + 24*epochDay) % (7 * 24), Seconds: float64(r.Seconds), Kills: float64(r.Kills),
		Mean: r.Mean.value(), High: r.High.value(), Peak: r.Peak.value(), Start: r.Start.value(),
		Throttled: r.Throttled.value(), Need: r.Need.value(), Working: r.Working.value(),
	}
}
