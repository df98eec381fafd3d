// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOTLP(t *testing.T) {
	for text, want := range map[string]OTLP{
		"window: 30s\n": {Metrics: true, Logs: true},
		"otlp: {endpoint: 'http://c:4318', protocol: http/protobuf, logs: false}\n":         {Endpoint: "http://c:4318", Metrics: true},
		"otlp: {endpoint: 'https://c', ca_file: /ca.pem, headers: {a: b}, interval: 10s}\n": {Endpoint: "https://c", CAFile: "/ca.pem", Headers: map[string]string{"a": "b"}, Interval: 10 * time.Second, Metrics: true, Logs: true},
		"otlp:\n  metrics: false\n": {Logs: true},
	} {
		if c, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(c.OTLP, want) {
			t.Errorf("%q is %+v, %v, want %+v", text, c.OTLP, err, want)
		}
	}
	for text, want := range map[string]string{
		"otlp:\n  endpont: x\n":                                 `line 2: unknown key "endpont"`,
		"otlp:\n  endpoint: user:secret@c:4317\n":               "line 2: otlp: the endpoint is no URL",
		"otlp:\n  protocol: grpc\n":                             `line 2: otlp: the protocol is http/protobuf`,
		"otlp:\n  interval: often\n":                            `line 2: "often" is no duration`,
		"otlp: {endpoint: 'http://c:4318', interval: 1s}\n":     "too often",
		"otlp: {interval: -5s}\n":                               "too often",
		"otlp: {headers: {a: b}}\n":                             "none is given",
		"otlp: {endpoint: 'http://c:4318', ca_file: /ca.pem}\n": "https://",
		"otlp:\n  metrics: perhaps\n":                           "line 2",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}
