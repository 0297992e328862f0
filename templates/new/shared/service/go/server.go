package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// shutdownTime is how long open requests may take after the service was asked to stop.
const shutdownTime = 20 * time.Second

// {{ counter }} counts the {{ counter }}, for the metrics.
var {{ counter }} atomic.Int64

// withOperations adds the health check and the metrics to the routes of the service.
func withOperations(routes http.Handler, healthy func() error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# TYPE {{ metric }} counter\n{{ metric }} %d\n", {{ counter }}.Load())
	})
{%- if template == "worker" %}
	mux.Handle("/", routes)
{%- else %}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		{{ counter }}.Add(1)
		routes.ServeHTTP(w, r)
	})
{%- endif %}
	return mux
}

// serve answers requests until ctx ends, and then lets open requests finish.
func serve(ctx context.Context, handler http.Handler) error {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("listening", "port", port)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	slog.Info("stopping")
	within, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := server.Shutdown(within); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}
