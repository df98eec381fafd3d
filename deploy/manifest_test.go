// SPDX-License-Identifier: Apache-2.0

// Package deploy has the manifests of the agent; it contains only tests.
package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestManifest checks without Helm that daemonset.yaml is up to date with the chart,
// using the checksums of both that scripts/manifest.sh writes into it.
func TestManifest(t *testing.T) {
	text, err := os.ReadFile("daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sums := regexp.MustCompile(`(?s)# chart ([0-9a-f]{64})\n# this  ([0-9a-f]{64})\n(#[^\n]*\n)*(.*)`).FindSubmatch(text)
	if sums == nil {
		t.Fatal("daemonset.yaml has no sums: run make manifest")
	}
	templates, err := filepath.Glob("helm/headroom/templates/*")
	if err != nil || len(templates) == 0 {
		t.Fatal("no templates:", err)
	}
	var chart bytes.Buffer
	for _, name := range append([]string{"helm/headroom/Chart.yaml", "helm/headroom/values.yaml"}, templates...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		chart.Write(text)
	}
	if sumOf(chart.Bytes()) != string(sums[1]) {
		t.Error("the chart has changed since daemonset.yaml was made: run make manifest")
	}
	if sumOf(sums[4]) != string(sums[2]) {
		t.Error("daemonset.yaml was edited: change deploy/helm/headroom, and run make manifest")
	}
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
