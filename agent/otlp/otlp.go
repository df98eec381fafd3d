// SPDX-License-Identifier: Apache-2.0

// Package otlp has what exports of metrics and findings over OTLP have in common:
// the address of the receiver, the description of the sender, and the health of the
// export. Values that are not set here are taken by the SDK from the standard
// environment variables, OTEL_EXPORTER_OTLP_*.
package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/headroom-project/headroom/agent/files"
)

// A Signal is one of the kinds of data that a receiver accepts.
type Signal string

// Signals.
const (
	Metrics Signal = "metrics"
	Logs    Signal = "logs"
)

// Scope is the instrumentation scope of all that is sent.
const Scope = "github.com/headroom-project/headroom"

// environment is the prefix of the standard's variables.
const environment = "OTEL_EXPORTER_OTLP_"

// Enabled reports whether the environment or an endpoint in the config enables a
// signal.
func Enabled(s Signal, endpoint string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_"+upper(s)+"_EXPORTER") == "none" {
		return false
	}
	return endpoint != "" || variable(s, "ENDPOINT") != ""
}

// URL returns the URL of a signal for an endpoint in the config, as the standard
// joins them: http://collector:4318 and v1/metrics.
func URL(s Signal, endpoint string) string {
	return strings.TrimSuffix(endpoint, "/") + "/v1/" + string(s)
}

// Check returns an error for invalid environment variables of a signal. The SDK
// would use its defaults instead, and send to another address.
func Check(s Signal) error {
	if p := variable(s, "PROTOCOL"); p != "" && p != "http/protobuf" {
		return fmt.Errorf("%sPROTOCOL is %q: only http/protobuf is supported, on port 4318 of most receivers", environment, p)
	}
	if e := variable(s, "ENDPOINT"); e != "" {
		if err := CheckURL(e); err != nil {
			return fmt.Errorf("%sENDPOINT: %w", environment, err)
		}
	}
	for _, name := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		if file := variable(s, name); file != "" {
			if _, err := files.Read(file, maxPEM); err != nil {
				return fmt.Errorf("%s%s: %w", environment, name, err)
			}
		}
	}
	return nil
}

// CheckURL returns why an endpoint is invalid. The error does not repeat the
// endpoint, because it may contain a password.
func CheckURL(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("the endpoint is not a valid URL; expected, for example, http://collector:4318")
	}
	return nil
}

// maxPEM is the maximum size of a certificate file: that of the system has 200 KiB.
const maxPEM = 4 << 20

// Trust returns a TLS config with the certificates of a file instead of the
// system's.
func Trust(file string) (*tls.Config, error) {
	pem, err := files.Read(file, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of the OTLP receiver: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// variable returns the variable of the signal, or the general one.
func variable(s Signal, name string) string {
	if v := os.Getenv(environment + upper(s) + "_" + name); v != "" {
		return v
	}
	return os.Getenv(environment + name)
}

func upper(s Signal) string { return strings.ToUpper(string(s)) }
