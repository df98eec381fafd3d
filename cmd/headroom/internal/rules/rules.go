// SPDX-License-Identifier: Apache-2.0

// Package rules resolves the names in a config of the agent: which findings are
// muted, and which thresholds apply to which service.
package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/config"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/otlp"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
)

// Rules are a config with its names resolved.
type Rules struct {
	Config config.Config
	// params apply to all services; services has those of one service each.
	params   map[*analysis.Param]float64
	services []serviceRule
}

type serviceRule struct {
	service  string
	analyzer *analysis.Analyzer
	params   map[*analysis.Param]float64
}

// Read reads a config file, or returns the defaults if path is "".
func Read(path string) (*Rules, error) {
	c, err := config.Read(path)
	if err != nil {
		return nil, err
	}
	if c.OTLP.CAFile != "" {
		if _, err := otlp.Trust(c.OTLP.CAFile); err != nil {
			return nil, fmt.Errorf("%s: otlp: ca_file: %w", path, err)
		}
	}
	for i := range c.Brokers {
		if err := c.Brokers[i].Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	r := &Rules{Config: c, params: make(map[*analysis.Param]float64)}
	for _, m := range c.Mute {
		if m.ID != "" && !asked(m.ID) {
			return nil, fmt.Errorf("%s: line %d: mute: %w", path, m.Line, noSuch(m.ID))
		}
	}
	for _, t := range c.Thresholds {
		if err := r.threshold(t); err != nil {
			return nil, fmt.Errorf("%s: line %d: thresholds: %w", path, t.Line, err)
		}
	}
	return r, nil
}

// Brokers returns the message brokers of the config, for samplers.
func (r *Rules) Brokers() []sampler.Broker {
	var all []sampler.Broker
	for i := range r.Config.Brokers {
		b := &r.Config.Brokers[i]
		all = append(all, sampler.Broker{Kind: b.Kind, Address: b.Address, Username: b.Username, TLS: b.TLS, Password: b.Password})
	}
	return all
}

func (r *Rules) threshold(t config.Threshold) error {
	a := lookup.Analyzer(t.ID)
	if a == nil {
		return noSuch(t.ID)
	}
	into := r.params
	if t.Service != "" {
		into = r.ofService(t.Service, a)
	}
	for name, text := range t.Set {
		p, err := lookup.Param(t.ID + "." + name)
		if err != nil {
			return err
		}
		if into[p], err = lookup.ParamValue(p, text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// ofService returns the params of an analyzer for a service, for adding to them:
// several rules for the same service and analyzer are merged.
func (r *Rules) ofService(service string, a *analysis.Analyzer) map[*analysis.Param]float64 {
	for _, s := range r.services {
		if s.service == service && s.analyzer == a {
			return s.params
		}
	}
	params := make(map[*analysis.Param]float64)
	r.services = append(r.services, serviceRule{service, a, params})
	return params
}

func asked(id string) bool { return slices.Contains(lookup.FindingIDs(), id) }

func noSuch(id string) error {
	return fmt.Errorf("unknown finding %q: did you mean %s?", id, lookup.Closest(id, lookup.FindingIDs()))
}

// Muted reports whether the config mutes a finding.
func (r *Rules) Muted(f *report.Finding) bool {
	for _, m := range r.Config.Mute {
		if (m.ID == "" || m.ID == f.ID) && isService(namesOf(f.Subject), m.Service) {
			return true
		}
	}
	return false
}

// namesOf returns the names by which a rule can match the place of a subject.
func namesOf(s report.Subject) []string { return []string{s.Service, s.Container, s.ContainerID} }

// Ask runs every analyzer with the general params, and analyzers with params for a
// service again for that service only. release scales the thresholds at which
// findings start.
func (r *Rules) Ask(w *observe.Window, of observe.Host, past analysis.History, release float64) *analysis.Result {
	result := analysis.Run(suite.Analyzers, w, of, analysis.Options{Params: released(r.params, release), History: past, Sources: host.Sources(host.Samplers)})
	for _, s := range r.services {
		own := func(id observe.ID) bool { return isService(namesAround(w.Index, id), s.service) }
		params := maps.Clone(r.params)
		maps.Copy(params, s.params)
		again := analysis.Run(suite.Analyzers, w, of, analysis.Options{Params: released(params, release), Keep: own, History: past})
		result.Replace(again, func(f *analysis.Finding) bool { return f.Analyzer == s.analyzer && own(f.Subject) })
	}
	return result
}

// released lowers the thresholds at which findings start, including default ones.
func released(params map[*analysis.Param]float64, by float64) map[*analysis.Param]float64 {
	out := make(map[*analysis.Param]float64, len(params))
	for p, v := range params {
		out[p] = v
	}
	if by == 1 {
		return out
	}
	for _, a := range suite.Analyzers {
		for _, p := range a.Params {
			if v, given := params[p]; p.Enters && given {
				out[p] = v * by
			} else if p.Enters {
				out[p] = p.Default * by
			}
		}
	}
	return out
}

// namesAround returns the names of the services and containers that contain an
// entity.
func namesAround(x *observe.Index, id observe.ID) []string {
	var names []string
	for up := range x.Up(id) {
		for _, key := range []string{catalog.AttrService, catalog.AttrContainerName, catalog.AttrContainerID} {
			if v := x.Attr(up, key); v != "" {
				names = append(names, v)
			}
		}
	}
	return names
}

// isService reports whether a rule for a service matches these names of services
// and containers; a rule without a service matches everything.
func isService(names []string, service string) bool {
	return service == "" || slices.Contains(names, service)
}
