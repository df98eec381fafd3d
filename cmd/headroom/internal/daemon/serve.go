// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	webtoolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/headroom-project/headroom/agent/serve"
	"github.com/headroom-project/headroom/analyzers/publish/web"
)

// goodbye is the time limit of running answers when the agent ends.
const goodbye = 2 * time.Second

// endpoints are the listeners of the agent: those that serve everything, and those
// that serve only metrics and health.
type endpoints struct{ all, metrics []net.Listener }

func (e endpoints) close() {
	closeAll(e.all)
	closeAll(e.metrics)
}

// listen opens all addresses of the flags, or none.
func listen(o *Options) (e endpoints, err error) {
	if e.all, err = listenAt("--web.listen-address", o.Listen); err != nil {
		return endpoints{}, err
	}
	if e.metrics, err = listenAt("--web.metrics-listen-address", o.ListenMetrics); err != nil {
		closeAll(e.all)
		return endpoints{}, err
	}
	return e, nil
}

// listenAt opens all addresses of a flag, or none.
func listenAt(flag string, addresses []string) ([]net.Listener, error) {
	all, err := serve.Listen(context.Background(), addresses)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: the port is in use by another process or by another address of this agent; :PORT includes loopback", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w", flag, err)
	}
	return all, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // no connection was accepted
	}
}

// A webServer is the HTTP server of the agent.
type webServer struct {
	*serve.Server
	ended chan error
}

// newWebServer returns a server with the limits listed in docs/api.md. /healthz and
// /readyz need no password.
func newWebServer(w *watcher, o *Options) *webServer {
	return &webServer{ended: make(chan error, 1), Server: serve.New(serve.Options{
		Limits: serve.DefaultLimits(), Log: o.Log, Hosts: o.AllowedHosts,
		Public: func(next http.Handler) http.Handler { return web.HealthHandler(w, next) },
	})}
}

// start serves the endpoints until shutdown. It calls failed if the server ends
// before that.
func (s *webServer) start(e endpoints, w *watcher, webConfig string, failed func()) {
	metrics := w.metrics()
	all := []serve.Endpoint{
		{Listeners: e.all, Handler: web.Handler(w, metrics), Shared: w.sharedAnswers()},
		{Listeners: e.metrics, Handler: web.MetricsHandler(w, metrics), Shared: map[string]serve.Shared{"/metrics": metricsAnswer}},
	}
	go func() {
		s.ended <- s.Serve(all, func(l net.Listener, server *http.Server, log *slog.Logger) error {
			return webtoolkit.Serve(l, server, &webtoolkit.FlagConfig{WebConfigFile: &webConfig}, log)
		})
		failed()
	}()
}

// metricsAnswer is rendered at most once a second, the interval of the samplers.
var metricsAnswer = serve.Shared{Version: second, Variant: metricsFormat}

// sharedAnswers returns the large answers: each is rendered once per evaluation.
func (w *watcher) sharedAnswers() map[string]serve.Shared {
	return map[string]serve.Shared{
		"/metrics":                 metricsAnswer,
		"/api/v1/findings":         {Version: func() any { return w.Report() }},
		"/api/v1/services":         {Version: func() any { return w.Services() }},
		"/api/v1/findings/history": {Version: second, Queries: []string{"since=24h"}}, // the web page requests a day
	}
}

func second() any { return time.Now().Unix() }

// metricsFormat returns the exposition format in which promhttp answers a request.
func metricsFormat(r *http.Request) string {
	return string(expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...))
}

// shutdown ends the server, and returns the error with which it ended before, if
// any.
func (s *webServer) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	_ = s.Shutdown(ctx) // answers that do not end in time are cut off
	return <-s.ended
}
