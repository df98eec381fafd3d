// SPDX-License-Identifier: Apache-2.0

// Package config reads the agent's config file: one struct, decoded strictly. It
// does not know the analyzers; its caller checks their names.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/headroom-project/headroom/agent/files"
)

// A Config is the whole file. Every key is optional.
type Config struct {
	// Window is the length of the evaluated window, Every the interval between
	// evaluations.
	Window, Every time.Duration
	// Memory is the maximum soft limit of the Go runtime, in bytes: the limit is lower
	// while less is in use.
	Memory int64
	// NoFrames is set if the functions of programs must not be read.
	NoFrames bool
	// Mute lists findings that are counted and shown without an alert.
	Mute []Mute
	// Thresholds are params that differ from the defaults, for all services or for
	// one.
	Thresholds []Threshold
	Storage    Storage
	OTLP       OTLP
	// Brokers are message brokers that need a password.
	Brokers []Broker
}

// Mute silences findings of an id, of a service, or both.
type Mute struct {
	ID      string `yaml:"id"`
	Service string `yaml:"service"`
	Reason  string `yaml:"reason"`
	Line    int    `yaml:"-"`
}

// A Threshold sets params of one analyzer, for one service if it is named.
type Threshold struct {
	ID      string            `yaml:"id"`
	Service string            `yaml:"service"`
	Set     map[string]string `yaml:"set"`
	Line    int               `yaml:"-"`
}

// file is the form of a Config in YAML.
type file struct {
	Window     duration    `yaml:"window"`
	Every      duration    `yaml:"every"`
	Memory     size        `yaml:"memory"`
	Frames     bool        `yaml:"frames"`
	Mute       []Mute      `yaml:"mute"`
	Thresholds []Threshold `yaml:"thresholds"`
	Storage    storage     `yaml:"storage"`
	OTLP       otlp        `yaml:"otlp"`
	Brokers    []Broker    `yaml:"brokers"`
}

// Default returns the config without a file: windows of half a minute, of which
// three overlap, so that a counted event is reported within ten seconds; and memory
// for a full node (docs/benchmarks.md).
func Default() Config {
	return Config{Window: 30 * time.Second, Every: 10 * time.Second, Memory: 256 << 20, Storage: Storage{History: defaultHistory},
		OTLP: OTLP{Metrics: true, Logs: true}}
}

// Read returns the config in a file; "" is the default.
func Read(path string) (Config, error) {
	if path == "" {
		return Default(), nil
	}
	text, err := files.Read(path, maxFile)
	if err != nil {
		return Config{}, fmt.Errorf("reading the config: %w", err)
	}
	c, err := Parse(text)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// maxFile is the maximum size of a config: thousands of rules.
const maxFile = 1 << 20

// Parse decodes a config. An error for an unknown key or a wrong value names its
// line.
func Parse(text []byte) (Config, error) {
	d := Default()
	f := file{Window: duration(d.Window), Every: duration(d.Every), Memory: size(d.Memory), Frames: true, Storage: storage{History: size(d.Storage.History)}}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, plain(err)
	}
	if err := dec.Decode(new(file)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("a config is one YAML document, and this has a second one")
	}
	if err := f.number(text); err != nil {
		return Config{}, err
	}
	c := Config{Window: time.Duration(f.Window), Every: time.Duration(f.Every), Memory: int64(f.Memory), NoFrames: !f.Frames, Mute: f.Mute, Thresholds: f.Thresholds, Brokers: f.Brokers}
	var err error
	if c.Storage, err = f.Storage.take(); err != nil {
		return Config{}, err
	}
	if c.OTLP, err = f.OTLP.take(); err != nil {
		return Config{}, err
	}
	return c, c.validate()
}

// number sets the line numbers of rules, and checks what is only visible in the
// text.
func (f *file) number(text []byte) error {
	var lines struct {
		Mute       []yaml.Node `yaml:"mute"`
		Thresholds []yaml.Node `yaml:"thresholds"`
		Brokers    []yaml.Node `yaml:"brokers"`
	}
	if err := yaml.Unmarshal(text, &lines); err != nil {
		return plain(err)
	}
	if err := cmp.Or(checkSelectors(lines.Mute), checkSelectors(lines.Thresholds)); err != nil {
		return err
	}
	for i := range f.Mute {
		f.Mute[i].Line = lines.Mute[i].Line
	}
	for i := range f.Thresholds {
		f.Thresholds[i].Line = lines.Thresholds[i].Line
	}
	for i := range f.Brokers {
		f.Brokers[i].Line = lines.Brokers[i].Line
	}
	return nil
}

const (
	// minEvery is a few steps of a second; maxWindow is the length of series that a
	// window keeps.
	minEvery, maxWindow = 2 * time.Second, 5 * time.Minute
	// minMemory is the memory that the program needs on an empty host.
	minMemory = 32 << 20
	// maxServices is the maximum number of services with rules: each needs another
	// evaluation of the whole window.
	maxServices = 16
)

func (c *Config) validate() error {
	switch {
	case c.Every < minEvery:
		return fmt.Errorf("every: %v is too often to judge by steps of a second: take %v or more", c.Every, minEvery)
	case c.Window < c.Every:
		return fmt.Errorf("window: %v is shorter than every, %v: no window would contain the seconds in between", c.Window, c.Every)
	case c.Window > maxWindow:
		return fmt.Errorf("window: %v is longer than %v, what a window remembers each second of", c.Window, maxWindow)
	case c.Window%c.Every != 0:
		return fmt.Errorf("window: %v is no multiple of every, %v", c.Window, c.Every)
	case c.Memory < minMemory:
		return fmt.Errorf("memory: %d bytes is less than the %d MiB that the program itself takes", c.Memory, minMemory>>20)
	}
	for _, m := range c.Mute {
		if m.ID == "" && m.Service == "" {
			return fmt.Errorf("line %d: a mute names an id, a service or both: this would silence everything", m.Line)
		}
		if err := checkService(m.Service); err != nil {
			return fmt.Errorf("line %d: mute: %w", m.Line, err)
		}
	}
	if err := checkBrokers(c.Brokers); err != nil {
		return err
	}
	services := 0
	for _, t := range c.Thresholds {
		if t.ID == "" || len(t.Set) == 0 {
			return fmt.Errorf("line %d: a threshold names an id, and what to set", t.Line)
		}
		if err := checkService(t.Service); err != nil {
			return fmt.Errorf("line %d: thresholds: %w", t.Line, err)
		}
		if t.Service != "" {
			services++
		}
	}
	if services > maxServices {
		return fmt.Errorf("thresholds: %d are of one service, at most %d can be", services, maxServices)
	}
	return nil
}

// unknown matches the decoder's error for an unknown key:
//
//	line 3: field windw not found in type config.file
var unknown = regexp.MustCompile(`^line (\d+): field (\S+) not found in type \S+$`)

// plain returns the error of a decoder without the names of Go types.
func plain(err error) error {
	var many *yaml.TypeError
	if !errors.As(err, &many) {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var all []string
	for _, e := range many.Errors {
		all = append(all, unknown.ReplaceAllString(e, `line $1: unknown key "$2"`))
	}
	return errors.New(strings.Join(all, "; "))
}

type duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no duration (such as 30s)", n.Line, n.Value)
	}
	*d = duration(v)
	return nil
}

type size int64

// suffixes of sizes; no suffix means bytes.
var suffixes = []struct {
	name  string
	bytes float64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *size) UnmarshalYAML(n *yaml.Node) error {
	for _, x := range suffixes {
		number, ok := strings.CutSuffix(n.Value, x.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v > 0) || v*x.bytes > 1<<50 {
			break
		}
		*s = size(v * x.bytes)
		return nil
	}
	return fmt.Errorf("line %d: %q is no size (such as 64MiB)", n.Line, n.Value)
}
