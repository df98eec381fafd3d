// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"fmt"
	"os"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// instances is the namespace that the conventions define for a service.instance.id
// derived from another ID.
var instances = uuid.MustParse("4d63009a-8d0f-11ee-aad7-4c796ed8e320")

// Resource describes the agent: its name, version and host.
// OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME have precedence. node is the name
// of the Kubernetes node, "" elsewhere. The resource is usable even if there is an
// error, which reports what could not be determined.
func Resource(ctx context.Context, version, node string) (*resource.Resource, error) {
	host, err := resource.New(ctx, resource.WithHostID())
	if err != nil || host == nil {
		host = resource.Empty() // an image from scratch has no /etc/machine-id
	}
	attrs := append(host.Attributes(), semconv.ServiceName("headroom"), semconv.ServiceVersion(version), semconv.OSTypeLinux)
	id, _ := host.Set().Value(semconv.HostIDKey)
	unique := id.AsString()
	if name, err := os.Hostname(); err == nil {
		attrs = append(attrs, semconv.HostName(name))
		unique = first(unique, node, name)
	}
	if node != "" {
		attrs = append(attrs, semconv.K8SNodeName(node))
	}
	attrs = append(attrs, instance(unique))
	r, err := resource.New(ctx, resource.WithSchemaURL(semconv.SchemaURL), resource.WithAttributes(attrs...), resource.WithFromEnv())
	if err != nil {
		return r, fmt.Errorf("reading the resource from OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}

// instance returns an ID that stays the same after a restart, so that series
// continue.
func instance(unique string) attribute.KeyValue {
	return semconv.ServiceInstanceID(uuid.NewSHA1(instances, []byte(unique)).String())
}

func first(of ...string) string {
	for _, s := range of {
		if s != "" {
			return s
		}
	}
	return ""
}
