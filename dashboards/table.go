// SPDX-License-Identifier: Apache-2.0

package dashboards

// A column of a table: the label that it shows, under which title. Labels of
// the series that are in no column are hidden, not removed: links need them.
type column struct {
	label, title string
	width        int
	properties   []property
}

// value is the label, so to speak, of the number itself.
const value = "Value"

// table has a row for each series, now.
func table(title, description, unit, expr string, columns ...column) *panel {
	p := newPanel("table", title, description, "string", full) // any other unit would be given to names that look like numbers
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

// order is a column, by its title, that rows are sorted by.
func order(title string, descending bool) map[string]any {
	return map[string]any{"displayName": title, "desc": descending}
}

// sorted has the rows in the order of one column, then of the next.
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

// override gives the field of that name properties of its own.
func (p *panel) override(field string, properties ...property) {
	if len(properties) == 0 {
		return
	}
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{Matcher: matcher{ID: "byName", Options: field}, Properties: properties})
}

// leadsTo makes a column's cells links.
func leadsTo(title, url string, newTab bool) property {
	return property{ID: "links", Value: []link{{Title: title, URL: url, TargetBlank: newTab}}}
}
