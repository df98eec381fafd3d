// SPDX-License-Identifier: Apache-2.0

package dashboards

// A column of a table: the label that it shows, and its title. Labels without a
// column are hidden, not removed, because links need them.
type column struct {
	label, title string
	width        int
	properties   []property
}

// value stands for the number itself in place of a label.
const value = "Value"

// table returns a table with a row for the current value of each series.
func table(title, description, unit, expr string, columns ...column) *panel {
	p := newPanel("table", title, description, "string", full) // any other unit would apply to names that look like numbers
	p.override(value, property{ID: "unit", Value: unit})
	p.Targets = []target{{RefID: ref(0), Datasource: prometheus, Expr: expr, Format: "table", Instant: true}}
	places, titles := make(map[string]any), make(map[string]any)
	for i, c := range columns {
		places[c.label], titles[c.label] = i, c.title
		if c.width > 0 {
			c.properties = append(c.properties, property{ID: "custom.width", Value: c.width})
		}
		p.override(c.label, c.properties...)
	}
	p.Transformations = []transformation{{ID: "organize", Options: map[string]any{"indexByName": places, "renameByName": titles}}}
	p.Options = map[string]any{"cellHeight": "sm", "sortBy": []map[string]any{}}
	return p
}

// order is the title of a column by which rows are sorted.
func order(title string, descending bool) map[string]any {
	return map[string]any{"displayName": title, "desc": descending}
}

// sorted sorts the rows by one column, then by the next.
func (p *panel) sorted(by ...map[string]any) *panel {
	p.Options["sortBy"] = by
	return p
}

// hide hides labels. Grafana 13 has another name for the property than earlier
// versions.
func (p *panel) hide(labels ...string) *panel {
	for _, l := range labels {
		p.override(l, property{ID: "custom.hidden", Value: true}, property{ID: "custom.hideFrom", Value: map[string]any{"viz": true, "legend": false, "tooltip": false}})
	}
	return p
}

// override sets properties of the field with that name.
func (p *panel) override(field string, properties ...property) {
	if len(properties) == 0 {
		return
	}
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{Matcher: matcher{ID: "byName", Options: field}, Properties: properties})
}

// leadsTo turns the cells of a column into links.
func leadsTo(title, url string, newTab bool) property {
	return property{ID: "links", Value: []link{{Title: title, URL: url, TargetBlank: newTab}}}
}
