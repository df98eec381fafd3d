// SPDX-License-Identifier: Apache-2.0

package dashboards

import "fmt"

// Units of Grafana. After "count:" comes what is counted, after "suffix:" the text
// behind the number.
const (
	unitSeconds = "s"
	unitBytes   = "bytes"
	unitRate    = "Bps"
	unitShare   = "percentunit"
	unitCount   = "short"
	unitCores   = "suffix:cores"
	// unitTime is the unit of times that are summed over many threads.
	unitTime     = "suffix:s/s"
	unitPages    = "count:pages/s"
	unitFaults   = "count:faults/s"
	unitPackets  = "count:packets/s"
	unitConns    = "count:conns/s"
	unitCalls    = "count:calls/s"
	unitRequests = "count:requests/s"
	unitKeys     = "count:keys/s"
	unitPerSec   = "count:/s"
)

var prometheus = datasource{Type: "prometheus", UID: "${datasource}"}

// Grafana's grid has 24 columns; two panels fit in a row.
const (
	half    = 12
	full    = 24
	height  = 9
	heading = 4
)

// query is one query of a panel.
type query struct{ expr, legend string }

// graph returns a panel with queries over time.
func graph(title, description, unit string, queries ...query) *panel {
	p := newPanel("timeseries", title, description, unit, half)
	for i, q := range queries {
		p.Targets = append(p.Targets, target{RefID: ref(i), Datasource: prometheus, Expr: q.expr, LegendFormat: q.legend, Range: true})
	}
	p.FieldConfig.Defaults.Color = map[string]any{"mode": "palette-classic"}
	p.FieldConfig.Defaults.Custom = map[string]any{"showPoints": "never"}
	p.Options = map[string]any{
		"legend": map[string]any{"displayMode": "table", "placement": "bottom", "calcs": []string{"lastNotNull", "max"}, "showLegend": true,
			"sortBy": "Max", "sortDesc": true},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	if unit == unitShare {
		p.soft(1) // shows the distance to the limit
	}
	return p
}

func newPanel(kind, title, description, unit string, width int) *panel {
	zero := 0.0
	return &panel{
		Type: kind, Title: title, Description: description, Datasource: prometheus, GridPos: gridPos{H: height, W: width},
		FieldConfig: fieldConfig{
			Defaults: defaults{Unit: unit, Min: &zero, Color: map[string]any{"mode": "thresholds"},
				Thresholds: thresholds{Mode: "absolute", Steps: []step{{Color: "green"}}}},
			Overrides: []override{},
		},
	}
}

func ref(i int) string { return string(rune('A' + i)) }

// soft sets the minimum end of the axis.
func (p *panel) soft(most float64) *panel {
	p.FieldConfig.Defaults.Custom["axisSoftMax"] = most
	return p
}

// fitted fits the axis to the lines, for shares for which a small value is bad.
func (p *panel) fitted() *panel {
	delete(p.FieldConfig.Defaults.Custom, "axisSoftMax")
	return p
}

// logarithmic is for times that can grow by a factor of a thousand.
func (p *panel) logarithmic() *panel {
	p.FieldConfig.Defaults.Min = nil
	p.FieldConfig.Defaults.Custom["scaleDistribution"] = map[string]any{"type": "log", "log": 10}
	return p
}

// symlog is for counts that are usually 0, and sometimes millions.
func (p *panel) symlog() *panel {
	p.FieldConfig.Defaults.Custom["scaleDistribution"] = map[string]any{"type": "symlog", "log": 10, "linearThreshold": 1}
	return p
}

// most sets the end of the axis: measured rates can exceed their maximum slightly.
func (p *panel) most(v float64) *panel {
	p.FieldConfig.Defaults.Max = &v
	return p
}

// stacked stacks the lines.
func (p *panel) stacked() *panel {
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 30
	p.FieldConfig.Defaults.Custom["stacking"] = map[string]any{"mode": "normal", "group": "A"}
	return p
}

// whole shows numbers without decimals.
func (p *panel) whole() *panel {
	none := 0
	p.FieldConfig.Defaults.Decimals = &none
	return p
}

// dashed draws lines whose legend starts like this as limits.
func (p *panel) dashed(begin string) *panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
		Matcher: matcher{ID: "byRegexp", Options: "/^" + begin + "/"},
		Properties: []property{
			{ID: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{8, 8}}},
			{ID: "custom.fillOpacity", Value: 0},
		},
	})
	return p
}

// warn draws the levels from which a value is a warning, and critical.
func (p *panel) warn(at, bad float64) *panel {
	steps := &p.FieldConfig.Defaults.Thresholds.Steps
	*steps = append(*steps, step{Color: "orange", Value: &at}, step{Color: "red", Value: &bad})
	if p.Type == "timeseries" {
		p.FieldConfig.Defaults.Custom["thresholdsStyle"] = map[string]any{"mode": "dashed"}
	}
	return p
}

// below shows values below this number in red.
func (p *panel) below(least float64) *panel {
	p.FieldConfig.Defaults.Thresholds.Steps = []step{{Color: "red"}, {Color: "green", Value: &least}}
	return p
}

// about names the findings whose numbers the panel shows: Overview links to the
// panel, and the panel links to the runbooks.
func (p *panel) about(ids ...string) *panel {
	p.explains = ids
	for _, id := range ids {
		p.Links = append(p.Links, link{Title: "Runbook: " + id, URL: runbooks + id + ".md", TargetBlank: true})
	}
	return p
}

// stat returns a panel with one number, whose background is red or orange if the
// value is bad.
func stat(title, description, unit, expr string) *panel {
	p := newPanel("stat", title, description, unit, full/4)
	p.Targets = []target{{RefID: ref(0), Datasource: prometheus, Expr: expr, Instant: true}}
	p.Options = map[string]any{"colorMode": "background", "graphMode": "none", "reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}}}
	p.GridPos.H = heading
	return p
}

// bars returns a panel with a bar for the current value of each series, the longest
// first.
func bars(title, description, unit string, q query) *panel {
	p := newPanel("bargauge", title, description, unit, full/3)
	p.Targets = []target{{RefID: ref(0), Datasource: prometheus, Expr: "sort_desc(" + q.expr + ")", LegendFormat: q.legend, Instant: true}}
	p.Options = map[string]any{"displayMode": "basic", "orientation": "horizontal", "valueMode": "color", "showUnfilled": true,
		"namePlacement": "top", "sizing": "manual", "minVizHeight": 20, "maxVizHeight": 34, "text": map[string]any{"titleSize": 12, "valueSize": 14},
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}}}
	return p
}

// lay numbers the panels and arranges them in rows.
func lay(panels []*panel) []*panel {
	x, y, tallest := 0, 0, 0
	for i, p := range panels {
		if x+p.GridPos.W > full {
			x, y, tallest = 0, y+tallest, 0
		}
		p.ID, p.GridPos.X, p.GridPos.Y = i+1, x, y
		x += p.GridPos.W
		tallest = max(tallest, p.GridPos.H)
	}
	return panels
}

// address returns the address of a panel: headroom-node?viewPanel=4.
func (d *dashboard) address(p *panel) string { return fmt.Sprintf("%s?viewPanel=%d", d.UID, p.ID) }
