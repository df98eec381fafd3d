// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// OTLP describes an OTLP receiver. Values that are not set are taken from the
// standard environment variables, OTEL_EXPORTER_OTLP_*.
type OTLP struct {
	// Endpoint is the receiver's URL without v1/metrics: http://collector:4318.
	Endpoint string
	// Headers go with each request. They may be secrets.
	Headers map[string]string
	// Interval is the time between two exports of metrics; 0 uses the standard's.
	Interval time.Duration
	// Metrics and Logs set whether these are sent.
	Metrics, Logs bool
	// CAFile is the file of the CA that signed the receiver's certificate.
	CAFile string
}

// otlp is the form of OTLP in YAML.
type otlp struct {
	Endpoint endpoint          `yaml:"endpoint"`
	Protocol protocol          `yaml:"protocol"`
	Headers  map[string]string `yaml:"headers"`
	Interval duration          `yaml:"interval"`
	Metrics  *bool             `yaml:"metrics"`
	Logs     *bool             `yaml:"logs"`
	CAFile   string            `yaml:"ca_file"`
}

// minInterval is a few steps of a second; after maxInterval without data, receivers
// drop the host.
const minInterval, maxInterval = 2 * time.Second, 24 * time.Hour

func (o otlp) take() (OTLP, error) {
	c := OTLP{Endpoint: string(o.Endpoint), Headers: o.Headers, Interval: time.Duration(o.Interval),
		Metrics: o.Metrics == nil || *o.Metrics, Logs: o.Logs == nil || *o.Logs, CAFile: o.CAFile}
	switch {
	case c.Interval != 0 && c.Interval < minInterval:
		return OTLP{}, fmt.Errorf("otlp: interval %v is too often for numbers of each second: take %v or more", c.Interval, minInterval)
	case c.Interval > maxInterval:
		return OTLP{}, fmt.Errorf("otlp: interval %v is longer than %v: take less, such as 60s", c.Interval, maxInterval)
	case c.Endpoint == "" && (len(c.Headers) > 0 || c.CAFile != ""):
		return OTLP{}, fmt.Errorf("otlp: headers and ca_file are for an endpoint, and none is given")
	case c.CAFile != "" && !secure(c.Endpoint):
		return OTLP{}, fmt.Errorf("otlp: ca_file is for an endpoint that begins with https://")
	}
	if err := checkHeaders(c.Headers); err != nil {
		return OTLP{}, fmt.Errorf("otlp: %w", err)
	}
	return c, nil
}

func secure(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && u.Scheme == "https"
}

type endpoint string

// UnmarshalYAML implements yaml.Unmarshaler. An endpoint may contain a password, so
// errors do not repeat it.
func (e *endpoint) UnmarshalYAML(n *yaml.Node) error {
	u, err := url.Parse(n.Value)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("line %d: otlp: the endpoint is no URL such as http://collector:4318", n.Line)
	}
	if _, err := strconv.ParseUint(cmp.Or(u.Port(), "0"), 10, 16); err != nil || strings.Contains(u.Hostname(), "*") {
		return fmt.Errorf("line %d: otlp: the endpoint has a host or a port that cannot be; expected, for example, http://collector:4318", n.Line)
	}
	*e = endpoint(n.Value)
	return nil
}

type protocol string

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *protocol) UnmarshalYAML(n *yaml.Node) error {
	if n.Value != "http/protobuf" {
		return fmt.Errorf("line %d: otlp: the protocol is http/protobuf, on port 4318 of most receivers; %q is not spoken", n.Line, n.Value)
	}
	*p = protocol(n.Value)
	return nil
}
