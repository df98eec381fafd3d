// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/report/reporttest"
)

const schemaFile = "schema/report-v1.schema.json"

// TestOutputMatchesSchema validates the output against the schema, and against a closed
// copy of it that forbids undeclared keys.
func TestOutputMatchesSchema(t *testing.T) {
	open, closed := compile(t, false), compile(t, true)
	for name, build := range reporttest.Results {
		var out bytes.Buffer
		if err := report.New(build(), report.Options{Version: "1.2.3"}).JSON(&out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		document, err := jsonschema.UnmarshalJSON(&out)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := open.Validate(document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := closed.Validate(document); err != nil {
			t.Errorf("%s writes what the schema does not name: %v", name, err)
		}
	}
}

// TestSchemaRefuses checks that the schema rejects invalid documents.
func TestSchemaRefuses(t *testing.T) {
	schema := compile(t, false)
	for name, document := range map[string]string{
		"another version": `{"schema":"headroom/report/v2"}`,
		"null list":       `{"schema":"headroom/report/v1","tool":{"version":"1"},"host":{},"window":{"start":"2026-11-23T03:00:00Z","end":"2026-11-23T03:00:30Z","seconds":30},"verdict":"healthy","findings":null,"checked":[],"skipped":[],"gaps":[]}`,
		"foreign verdict": `{"schema":"headroom/report/v1","tool":{"version":"1"},"host":{},"window":{"start":"2026-11-23T03:00:00Z","end":"2026-11-23T03:00:30Z","seconds":30},"verdict":"fine","findings":[],"checked":[],"skipped":[],"gaps":[]}`,
	} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(document)))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("the schema accepts %s", name)
		}
	}
}

func compile(t *testing.T, closed bool) *jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	if closed {
		closeObjects(document)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report.json", document); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("report.json")
}

// closeObjects forbids keys that are not declared.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}
