// SPDX-License-Identifier: Apache-2.0

// Package schema holds the JSON Schema of the report, which other tools rely on.
package schema

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"text/template"
)

//go:embed report-v1.schema.json.tmpl
var source string

// Words are the IDs, causes, verbs and categories of this version. The schema shows
// them as examples and accepts any word of the same form: a document from a later
// version stays valid against an older schema that a reader uses.
type Words struct {
	IDs, Causes, Verbs, Categories []string
}

// Report returns the schema of the report with words as examples.
func Report(words Words) ([]byte, error) {
	funcs := template.FuncMap{"list": list}
	t, err := template.New("report").Funcs(funcs).Parse(source)
	if err != nil {
		return nil, fmt.Errorf("parsing the template of the report's schema: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, words); err != nil {
		return nil, fmt.Errorf("writing the report's schema: %w", err)
	}
	return out.Bytes(), nil
}

// list renders words as a JSON array, indented for its place in a definition.
func list(words []string) (string, error) {
	text, err := json.MarshalIndent(words, "      ", "  ")
	return string(text), err
}
