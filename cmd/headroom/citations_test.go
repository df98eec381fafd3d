// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// document matches the name of a Markdown file.
var document = regexp.MustCompile(`[A-Za-z0-9_./-]*[A-Za-z0-9_-]\.md\b`)

// TestCitedDocumentsExist checks that every document that a comment or a text refers to
// is in the repository.
func TestCitedDocumentsExist(t *testing.T) {
	root := filepath.Join("..", "..")
	list, err := exec.Command("git", "-C", root, "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(list))
	there := make(map[string]bool)
	for _, f := range files {
		there[path.Base(f)] = true
	}
	looked := 0
	for _, f := range files {
		if !cites(f) {
			continue
		}
		looked++
		text, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range document.FindAllString(string(text), -1) {
			if !there[path.Base(name)] && !strings.Contains(name, "github.com") {
				t.Errorf("%s names %s, which is not in the repository", f, name)
			}
		}
	}
	if looked < 500 {
		t.Errorf("looked into %d files: some were not", looked)
	}
}

// cites reports whether a file is one of our texts that can refer to documents.
func cites(file string) bool {
	switch path.Base(file) {
	case "citations_test.go", "THIRD_PARTY_NOTICES.md", "package-lock.json":
		return false
	}
	switch path.Ext(file) {
	case ".go", ".md", ".c", ".h", ".sh", ".yaml", ".yml", ".js", "":
		return !strings.Contains(file, "/testdata/")
	}
	return false
}
