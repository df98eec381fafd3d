// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestReportMatchesSchema validates the output of diagnose for a real recording, with
// all analyzers.
func TestReportMatchesSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../analyzers/report/schema/report-v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var out, problems bytes.Buffer
	args := []string{"diagnose", "--from", "testdata/burn.hr", "-o", "json"}
	if status := execute(args, os.Stdin, &out, &problems, os.Getenv); status != exitOK {
		t.Fatalf("exit status %d: %s", status, problems.String())
	}
	document, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
}
