// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/headroom-project/headroom/examples/reference/faults"
)

// settingsKey is the Redis hash that all processes of the shop read every second.
const settingsKey = "shop:settings"

// listFaults prints the faults, and marks those that are on.
func listFaults(w io.Writer) error {
	on := map[string]string{}
	if s, err := readState(); err == nil {
		on = s.Faults
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "row\tname\tlevel\twhat goes wrong\tindicator") //nolint:errcheck // Flush returns the error
	for _, f := range faults.All {
		level, mark := f.Level, ""
		if l, ok := on[f.Name]; ok {
			level, mark = l, " (on)"
		}
		fmt.Fprintf(tab, "%d\t%s%s\t%s\t%s\t%s\n", f.Row, f.Name, mark, level, f.Tells(level), f.Watch) //nolint:errcheck // as above
	}
	return tab.Flush()
}

// switchFault switches one fault on at a level, or off.
func switchFault(args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return errors.New(usage)
	}
	f, ok := faults.Find(args[0])
	if !ok {
		return fmt.Errorf("no fault %q: make faults lists them", args[0])
	}
	level := f.Level
	if len(args) == 2 && args[1] != "" {
		level = args[1]
	}
	if !exists(dir) {
		return errors.New("the shop is not up: make reference-up")
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := readState()
	if err != nil {
		return err
	}
	if level == "off" {
		return s.switchOff(f)
	}
	return s.switchOn(f, level)
}

func (s *state) switchOn(f faults.Fault, level string) error {
	value, err := f.Unit.Parse(level)
	if err != nil {
		return err
	}
	s.Faults[f.Name] = level
	if err := s.save(); err != nil {
		return err
	}
	if err := s.limit(f.Limit, value); err != nil {
		return err
	}
	command := []string{"HSET", settingsKey}
	for _, name := range slices.Sorted(maps.Keys(f.Settings)) {
		command = append(command, name, f.At(value)[name])
	}
	if len(f.Settings) > 0 {
		if _, err := redisDo(command...); err != nil {
			return err
		}
	}
	fmt.Printf("on: %s\nwatch: %s\n", f.Tells(level), f.Watch)
	return nil
}

func (s *state) switchOff(f faults.Fault) error {
	command := append([]string{"HDEL", settingsKey}, slices.Sorted(maps.Keys(f.Settings))...)
	if len(f.Settings) > 0 {
		if _, err := redisDo(command...); err != nil {
			return err
		}
	}
	if err := s.unlimit(f.Limit); err != nil {
		return err
	}
	if f.Redeploy {
		if _, err := redisDo("HINCRBY", settingsKey, "api.generation", "1"); err != nil {
			return err
		}
	}
	delete(s.Faults, f.Name)
	fmt.Println("off:", f.Name)
	return s.save()
}

// limit changes a limit of the containers with that name.
func (s *state) limit(l faults.Limit, value float64) error {
	return s.eachLimited(l, func(c container) error { return c.lower(l, value) })
}

func (c container) lower(l faults.Limit, value float64) error {
	switch l.Resource {
	case faults.CPU:
		return c.setCPU(value)
	case faults.Memory:
		return c.setMemory(int64(value))
	case faults.Weight:
		return c.setWeight(heavy)
	}
	return c.setCPU(0)
}

// unlimit restores the limit that the containers were started with.
func (s *state) unlimit(l faults.Limit) error {
	return s.eachLimited(l, func(c container) error {
		switch l.Resource {
		case faults.Memory:
			return c.setMemory(c.memory)
		case faults.Weight:
			return c.setWeight(1)
		}
		return c.setCPU(c.cores)
	})
}

func (s *state) eachLimited(l faults.Limit, do func(container) error) error {
	if l.Container == "" {
		return nil
	}
	for n, c := range containers(s.Password) {
		if !c.isOf(l) {
			continue
		}
		c.ID, c.Pod = s.Containers[n].ID, s.Containers[n].Pod
		if err := do(c); err != nil {
			return err
		}
	}
	return nil
}

// setCPU sets the limit in cores; 0 means none.
func (c container) setCPU(cores float64) error {
	quota := strconv.Itoa(int(math.Round(cores * cfsPeriod)))
	if cores == 0 {
		quota = "-1"
	}
	if v1 := filepath.Join(cgroupRoot, "cpu", c.path(), "cpu.cfs_quota_us"); exists(v1) {
		return os.WriteFile(v1, []byte(quota), 0)
	}
	quota = strings.Replace(quota, "-1", "max", 1)
	return os.WriteFile(filepath.Join(cgroupRoot, c.path(), "cpu.max"), []byte(quota+" "+strconv.Itoa(cfsPeriod)), 0)
}

// heavy is the CPU weight of a batch job, as a multiple of the weight of others.
const heavy = 8

// setWeight sets the CPU weight of the pod, as a multiple of the weight of its siblings.
func (c container) setWeight(times int) error {
	const v1Default, v2Default = 1024, 100
	if v1 := filepath.Join(cgroupRoot, "cpu", c.podPath(), "cpu.shares"); exists(v1) {
		return os.WriteFile(v1, []byte(strconv.Itoa(v1Default*times)), 0)
	}
	return os.WriteFile(filepath.Join(cgroupRoot, c.podPath(), "cpu.weight"), []byte(strconv.Itoa(v2Default*times)), 0)
}

func (c container) setMemory(bytes int64) error {
	limit := []byte(strconv.FormatInt(bytes, 10))
	if v1 := filepath.Join(cgroupRoot, "memory", c.path(), "memory.limit_in_bytes"); exists(v1) {
		return os.WriteFile(v1, limit, 0)
	}
	return os.WriteFile(filepath.Join(cgroupRoot, c.path(), "memory.max"), limit, 0)
}
