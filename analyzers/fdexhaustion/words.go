// SPDX-License-Identifier: Apache-2.0

package fdexhaustion

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (v *view) summary(p *facts.Pass) string {
	name := p.Name(v.Process)
	held := v.held()
	switch end := v.end(); {
	case v.Exhausted():
		return fmt.Sprintf("%s cannot open files or accept connections%s: %s%s", name, v.refusals(), held, v.what())
	case end != nil:
		return fmt.Sprintf("%s runs out of file descriptors in %s: it holds %.0f of %.0f and adds %s%s",
			name, analysis.Ahead(end.At), v.Count, v.Limit, analysis.PerTime(v.growth.Slope), v.whatGrows())
	case v.Over():
		return fmt.Sprintf("%s can open only file descriptors with numbers below %.0f, and how many of these are free is not known: %s%s", name, v.Limit, held, v.what())
	}
	return fmt.Sprintf("%s has %s left: %s%s", name,
		analysis.Number(max(0, v.Limit-v.Peak), "file descriptor", "file descriptors"), held, v.what())
}

func (v *view) held() string {
	if v.Over() {
		return fmt.Sprintf("it holds %.0f file descriptors, more than its limit of %.0f, which was lowered after some were opened", v.Count, v.Limit)
	}
	held := fmt.Sprintf("it holds %.0f of the %s that it may open", v.Count, analysis.Number(v.Limit, "file descriptor", "file descriptors"))
	if v.Count < v.Peak-1 {
		held += fmt.Sprintf(" and held %.0f", v.Peak)
	}
	return held
}

func (v *view) refusals() string {
	if v.Refused == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s refused)", analysis.Number(v.Refused, "call was", "calls were"))
}

// what names the kind of most descriptors.
func (v *view) what() string {
	switch {
	case v.closeWait.last >= most*v.Count:
		return fmt.Sprintf(", %.0f of them connections that the peer has closed", v.closeWait.last)
	case v.connections.last >= most*v.Count:
		return fmt.Sprintf(", %.0f of them open connections", v.connections.last)
	}
	for _, k := range v.kinds {
		if k.last >= most*v.Count {
			return fmt.Sprintf(", %.0f of them %s", k.last, k.name)
		}
	}
	return ""
}

// whatGrows names the kind with most of the growth, and what did not grow with it.
func (v *view) whatGrows() string {
	text := ""
	switch {
	case v.closeWait.gain >= most*v.growth.Gain:
		text = " (connections that the peer has closed)"
	case len(v.kinds) > 0 && v.kinds[0].gain >= most*v.growth.Gain:
		text = " (" + v.kinds[0].name + ")"
	}
	switch c := v.connections; {
	case c.known && c.gain == 0:
		text += fmt.Sprintf(" while its open connections stay at %.0f", c.last)
	case c.known:
		text += fmt.Sprintf(" while its open connections went from %.0f to %.0f", c.last-c.gain, c.last)
	}
	return text
}

func (v *view) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.ProcessFDs, Label: "share of the soft limit", Value: v.Share(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
		{Metric: catalog.ProcessFDs, Value: v.Count, Unit: observe.Descriptors},
		{Metric: catalog.ProcessFDLimit, Label: "soft limit", Value: v.Limit, Unit: observe.Descriptors},
	}
	if v.Refused > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessFDRefused, Label: "refused", Value: v.Refused, Unit: observe.Count, Bound: analysis.Bound(0)})
	}
	if v.Pinned > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessFDs, Label: "share of the readings at the limit", Value: v.Pinned, Unit: observe.Ratio})
	}
	if v.leaking {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessFDs, Label: "gained", Value: v.growth.Gain, Unit: observe.Descriptors, Bound: analysis.Bound(p.Param(leastGain))})
	}
	if v.Hard > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessFDHardLimit, Label: "hard limit", Value: v.Hard, Unit: observe.Descriptors})
	}
	return append(e, v.byKind()...)
}

// byKind returns the descriptors by kind, and the growth of each kind.
func (v *view) byKind() []analysis.Evidence {
	var e []analysis.Evidence
	add := func(m *observe.Metric, name string, c counted) {
		if !c.known {
			return
		}
		e = append(e, analysis.Evidence{Metric: m, Label: name, Value: c.last, Unit: observe.Count})
		if v.leaking && c.gain != 0 {
			e = append(e, analysis.Evidence{Metric: m, Label: name + " gained", Value: c.gain, Unit: observe.Count})
		}
	}
	for _, k := range v.kinds {
		add(k.metric, k.name, k.counted)
	}
	add(catalog.ProcessEstablished, "open connections", v.connections)
	add(catalog.ProcessCloseWait, "connections that the peer has closed", v.closeWait)
	return e
}
