// SPDX-License-Identifier: Apache-2.0

package dashboards

import "fmt"

// Units as Grafana calls them.
const (
	unitSeconds = "s"
	unitBytes   = "bytes"
	unitRate    = "Bps"
	unitShare   = "percentunit"
	unitCount   = "short"
	unitPerSec  = "ops"
	unitCores   = "none"
)

var prometheus = datasource{Type: "prometheus", UID: "${datasource}"}

// Grafana's grid is 24 wide; two panels stand beside each other.
const (
	half   = 12
	full   = 24
	height = 8
)

// query is one line of a panel.
type query struct{ expr, legend string }

// graph draws queries over time.
func graph(title, description, unit string, queries ...query) *panel {
	p := newPanel("timeseries", title, description, unit, half)
	for i, q := range queries {
		p.Targets = append(p.Targets, target{RefID: ref(i), Datasource: prometheus, Expr: q.expr, LegendFormat: q.legend, Range: true})
	}
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "table", "placement": "bottom", "calcs": []string{"lastNotNull", "max"}, "showLegend": true},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

func newPanel(kind, title, description, unit string, width int) *panel {
	zero := 0.0
	return &panel{
		Type: kind, Title: title, Description: description, Datasource: prometheus, GridPos: gridPos{H: height, W: width},
		FieldConfig: fieldConfig{
			Defaults:  defaults{Unit: unit, Min: &zero, Thresholds: thresholds{Mode: "absolute", Steps: []step{{Color: "green"}}}},
			Overrides: []override{},
		},
	}
}

func ref(i int) string { return string(rune('A' + i)) }

// stacked adds the lines up.
func (p *panel) stacked() *panel {
	p.FieldConfig.Defaults.Custom = map[string]any{"fillOpacity": 30, "stacking": map[string]any{"mode": "normal", "group": "A"}}
	return p
}

// warn draws the levels from which a number is worth a look, and bad.
func (p *panel) warn(at, bad float64) *panel {
	steps := &p.FieldConfig.Defaults.Thresholds.Steps
	*steps = append(*steps, step{Color: "orange", Value: &at}, step{Color: "red", Value: &bad})
	if p.Type == "timeseries" {
		if p.FieldConfig.Defaults.Custom == nil {
			p.FieldConfig.Defaults.Custom = make(map[string]any)
		}
		p.FieldConfig.Defaults.Custom["thresholdsStyle"] = map[string]any{"mode": "line"}
	}
	return p
}

// about names the findings whose numbers the panel shows; Overview links there.
func (p *panel) about(ids ...string) *panel {
	p.explains = ids
	return p
}

// stat is one number.
func stat(title, description, unit, expr string) *panel {
	p := newPanel("stat", title, description, unit, full/4)
	p.Targets = []target{{RefID: ref(0), Datasource: prometheus, Expr: expr, Instant: true}}
	p.Options = map[string]any{"colorMode": "background", "reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}}}
	p.GridPos.H = height / 2
	return p
}

// table has a row for each series, now.
func table(title, description, unit, expr string) *panel {
	p := newPanel("table", title, description, unit, full)
	p.Targets = []target{{RefID: ref(0), Datasource: prometheus, Expr: expr, Format: "table", Instant: true}}
	p.Transformations = []transformation{{ID: "organize", Options: map[string]any{"excludeByName": map[string]any{"Time": true, "__name__": true, "job": true, "panel": true}}}}
	p.Options = map[string]any{"sortBy": []map[string]any{{"displayName": "Value", "desc": true}}}
	return p
}

// lay numbers the panels and puts them in rows.
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

// address is where a panel is found: headroom-node?viewPanel=4.
func (d *dashboard) address(p *panel) string { return fmt.Sprintf("%s?viewPanel=%d", d.UID, p.ID) }
