// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"
)

// checkService rejects names that no service can have, so that a rule that matches
// nothing is found early. Names are compared exactly.
func checkService(name string) error {
	switch {
	case strings.ContainsAny(name, "*?"):
		return fmt.Errorf("service %q: wildcards are not supported, name one service (such as api)", name)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("service %q begins or ends with a space, which no service does", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("service %q has a control character, which no service has", name)
	}
	return nil
}

// checkHeaders rejects headers that HTTP cannot send. A value may be a secret, so
// errors do not repeat it.
func checkHeaders(headers map[string]string) error {
	seen := make(map[string]bool)
	for name, value := range headers {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("headers: %q is not a valid name of an HTTP header", name)
		case value == "":
			return fmt.Errorf("headers: %s is empty: give it a value, or leave it out", name)
		case !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("headers: the value of %s has a line feed or another control character", name)
		case seen[http.CanonicalHeaderKey(name)]:
			return fmt.Errorf("headers: %s is given twice; upper and lower case are the same", name)
		}
		seen[http.CanonicalHeaderKey(name)] = true
	}
	return nil
}

// checkSelectors rejects rules with an empty id or service: a template without its
// value would select everything.
func checkSelectors(rules []yaml.Node) error {
	for i := range rules {
		rule := &rules[i]
		if rule.Kind != yaml.MappingNode {
			continue
		}
		for k := 0; k+1 < len(rule.Content); k += 2 {
			key, value := rule.Content[k], rule.Content[k+1]
			if (key.Value == "id" || key.Value == "service") && value.Kind == yaml.ScalarNode && strings.TrimSpace(value.Value) == "" {
				return fmt.Errorf("line %d: %s is empty: give it a value, or leave it out", key.Line, key.Value)
			}
		}
	}
	return nil
}
